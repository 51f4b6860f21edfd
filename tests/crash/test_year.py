"""One environment, changed for a year: what exists, what its runs add up to and what its file asks for is the same."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from batchwright.app.settings import Settings
from batchwright.providers.simulated import World
from tests.crash.year import Place, Year
from tests.support.command_line import Command
from tests.support.sandboxes import need_sandboxes


def break_simulated(shell: Command, server: str, service: str) -> None:
    """Somebody removes a task service at a terminal."""
    with closing(World(Settings(Path(shell.env["BATCHWRIGHT_STATE_DIR"])).world_file)) as world:
        world.remove(next(one.ref for one in world.servers() if one.name == server), service)


SIMULATED = Place(
    "upcloud",
    ("1xCPU-2GB", "2xCPU-4GB"),
    "de-fra1",
    ("nginx", "redis", "postgresql"),
    0.9,
    break_simulated,
    ("--sim", "time_scale=0.02"),
    ("--simulate",),
)


def stop(shell: Command, server: str, service: str) -> None:
    """Somebody stops it on the server itself."""
    unit = {"redis": "redis-server", "postgresql": "postgresql@15-main"}.get(service, service)
    shell.as_process("servers", "ssh", server, "--", "systemctl", "stop", unit)


LOCAL = Place("local", ("1xCPU-512MB", "1xCPU-1GB"), "here", ("nginx", "redis", "postgresql"), 12.0, stop)


@pytest.mark.parametrize(("changes", "seed"), [(8, 1), pytest.param(300, 2, marks=pytest.mark.long)])
def test_a_simulated_environment(changes: int, seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    year = Year(Command(tmp_path, BATCHWRIGHT_STATE_DIR=str(tmp_path / "state")), SIMULATED, seed)
    for _ in range(changes):
        year.change()
    with capsys.disabled():
        print(f"\nsimulated: {changes} changes, {year.kills} kills")


@pytest.mark.long
def test_an_environment_of_servers_of_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = need_sandboxes()
    year = Year(Command(tmp_path, XDG_CACHE_HOME=str(base.parents[2])), LOCAL, 3)
    try:
        for _ in range(30):
            year.change()
    finally:
        year.destroy()
    with capsys.disabled():
        print(f"\nlocal: 30 changes, {year.kills} kills")
