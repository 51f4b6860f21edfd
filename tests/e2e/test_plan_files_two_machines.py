"""A plan made on one machine and applied on another: nothing in common but the store and the cloud account."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.surreal_bridge import PASSWORD, USER, Bridge
from tests.e2e.test_commands import until
from tests.support.command_line import PATIENCE, Command
from tests.support.emulated import Running

from batchwright.emulators.upcloud import UpCloudBehaviour

NAMES = [f"web-{n}" for n in range(4)]


def flow(*names: str) -> dict[str, Any]:
    configs = [{"name": name, "plan": "1xCPU-2GB", "zone": "de-fra1"} for name in names]
    batch = {"id": "web", "type": "server_batch", "provider": "upcloud", "server_configs": configs}
    return {"name": "shop", "version": "1", "storage_backend": "surrealdb", "operations": [batch]}


class Machine:
    """A user with a home, a configuration and a state folder of their own."""

    def __init__(self, folder: Path, bridge: Bridge, cloud: Running) -> None:
        settings = folder / ".config" / "batchwright"
        settings.mkdir(parents=True)
        (settings / "config.toml").write_text(
            f'[surrealdb]\nurl = "{bridge.url}"\nuser = "{USER}"\npassword = {{ env = "SURREAL" }}\n'
            "[upcloud]\nsettle_seconds = 0.6\npoll_seconds = 0.05\nrate = 0\n"
        )
        self.folder = folder
        self.command = Command(folder, SURREAL=PASSWORD, **cloud.environ)

    def write(self, *names: str) -> None:
        (self.folder / "shop.json").write_text(json.dumps({"batch_workflow": flow(*names)}))

    def hash(self) -> str:
        return str(self.command.json("plan", "shop.json")["plan"]["hash"])


class Team:
    def __init__(self, folder: Path, bridge: Bridge, cloud: Running) -> None:
        self.cloud = cloud
        self.ada, self.bob = (Machine(folder / name, bridge, cloud) for name in ("ada", "bob"))

    def handed_over(self, *names: str) -> None:
        self.ada.write(*names)
        self.ada.command("plan", "shop.json", "--out", "shop.plan")
        shutil.copy(self.ada.folder / "shop.plan", self.bob.folder)

    def servers(self) -> list[str]:
        return sorted(one["title"] for one in self.cloud.emulator.account.summary()["servers"])


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    with Bridge() as bridge, Running(UpCloudBehaviour(time_scale=0.002)) as cloud:
        yield Team(tmp_path, bridge, cloud)


def test_the_other_machine_applies_it_and_the_first_one_sees_it(team: Team) -> None:
    team.handed_over(*NAMES)
    run = team.bob.command.json("run", "shop.plan")
    assert run["status"] == "Completed"
    assert team.servers() == NAMES
    assert run["inputs"]["plan_file"]["name"] == "shop.plan"
    seen = team.ada.command.json("status", run["run"])
    assert seen["inputs"] == run["inputs"]
    team.bob.write(*NAMES)
    assert team.ada.hash() == team.bob.hash()
    refused = team.bob.command("run", "shop.plan", code=1).stderr
    assert f"server web-0, web-1, web-2 and 1 more were added by run {run['run']}" in refused


def test_a_change_on_the_first_machine_is_told_on_the_other(team: Team) -> None:
    team.ada.write(*NAMES)
    team.ada.command("run", "shop.json")
    team.handed_over(*NAMES, "web-9")
    team.ada.write(*NAMES[1:])
    other = team.ada.command.json("run", "shop.json", "--retire")["run"]
    refused = team.bob.command("run", "shop.plan", code=1).stderr
    assert f"server web-0 is gone; since then these runs changed the environment: {other}" in refused
    assert team.servers() == NAMES[1:]


def test_a_killed_run_of_a_plan_goes_on_at_the_machine_that_made_it(team: Team) -> None:
    team.handed_over(*NAMES)
    process = team.bob.command.start("run", "shop.plan")
    until(lambda: bool(team.servers()))
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE)
    team.ada.command("resume", "shop")
    assert team.servers() == NAMES
    team.ada.command("rollback", "shop", "--yes")
    assert team.servers() == []


def test_another_account_is_refused(team: Team) -> None:
    team.handed_over(*NAMES)
    with Running(UpCloudBehaviour(time_scale=0.002)) as other:
        team.bob.command.env.update(other.environ)
        refused = team.bob.command("run", "shop.plan", code=1).stderr
    assert "[account-changed]" in refused
    assert team.servers() == []
