"""The Nushell commands in closures and pipes, where something comes in that is not theirs."""

from __future__ import annotations

import os
import pty
import subprocess
import tty
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.support.fake_service import Answer, FakeService, fake_service, message
from tests.support.nushell import PATIENCE, ROOT, Nu
from tests.unit.views.story import T0, fleet

from batchwright.model.lifecycle import RunState
from batchwright.views.run import run_view
from batchwright.views.stats_over_runs import stats_view

RUNS = "/v1/workflows/batch"
STORY = fleet().begin().start("web/a", at=1.0).succeed("web/a", at=2.0).start("web/b", at=2.0)
STORY = STORY.succeed("web/b", at=3.0).end(RunState.COMPLETED, 4.0)
ID = STORY.run.id
OWN = f"{RUNS}/{ID}"
VIEW = run_view(STORY.run, T0 + 5)
UNDO = {"step": "web/a", "provider": "upcloud", "what": "destroy", "ref": "ref-a", "note": ""}

COMMANDS = {  # what is piped in, and the command with its word for it
    "status": (f'"{ID}"', "batch status {0}"),
    "monitor": (f'"{ID}"', "batch monitor {0}"),
    "rollback": (f'"{ID}"', "batch rollback {0}"),
    "rollback-plan": (f'"{ID}"', "batch rollback {0} --plan"),
    "pause": (f'"{ID}"', "batch pause {0}"),
    "resume": (f'"{ID}"', "batch resume {0}"),
    "cancel": (f'"{ID}"', "batch cancel {0} --force"),
    "submit": ('"workflows/example_batch.ncl"', "batch submit {0} --simulate"),
    "submit-options": ('"transient=0.2"', "batch submit workflows/example_batch.ncl --sim {0}"),
    "list": ('"completed"', "batch list --status {0}"),
    "stats": ("24hr", "batch stats --since {0}"),
    "batch": ("1", "batch"),
}


@pytest.fixture
def service() -> Iterator[FakeService]:
    with fake_service() as fake:
        fake.on("GET", OWN, VIEW)
        fake.stream(f"{OWN}/progress", [message("end", VIEW)])
        fake.on("GET", f"{OWN}/rollback", {"run": ID, "undo": [UNDO]})
        for verb in ("rollback", "pause", "resume", "cancel"):
            fake.on("POST", f"{OWN}/{verb}", Answer(msgspec.json.encode(VIEW), 202))
        fake.on("POST", f"{RUNS}/submit", Answer(msgspec.json.encode(VIEW), 202))
        fake.on("GET", RUNS, {"items": [STORY.run.summary("filesystem")] * 2, "next_cursor": None})
        fake.on("GET", f"{RUNS}/stats", stats_view([STORY.run.summary("filesystem")]))
        yield fake


@pytest.fixture
def nu(service: FakeService, tmp_path: Path) -> Nu:
    return Nu(tmp_path, service.url)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_works_in_closures_and_pipes(nu: Nu, name: str) -> None:
    """F4: `metadata` of an argument took what was piped in for what it was asked about."""
    given, command = COMMANDS[name]
    one, many = f"[{given}]", f"[{given} {given}]"
    ways = [
        f"{many} | each {{|r| {command.format('$r')} }} | length",
        f"{many} | par-each {{|r| {command.format('$r')} }} | length",
        f"{one} | each {{ {command.format('$in')} }} | length",
        f"{given} | {command.format('$in')} | describe | str length",
        f"{{id: {given}}} | {command.format('$in.id')} | describe | str length",
        f"ls README.md | get name.0 | {command.format(given)} | describe | str length",
        f"do {{|r| {command.format('$r')} }} {given} | describe | str length",
    ]
    told = nu.value("[ " + " ".join(f"({way})" for way in ways) + " ]")
    assert told[:3] == [2, 2, 1]
    assert min(told[3:]) > 0


def test_rows_of_a_list_are_asked_for_one_by_one(nu: Nu) -> None:
    """F4: as it is typed."""
    assert nu.value("batch list | each {|r| batch status $r.id } | get id") == [ID, ID]
    assert nu.value("batch list | get id.0 | batch status $in | get id") == ID
    assert nu.value("ls README.md | each {|f| batch stats } | get runs") == [1]


def test_an_error_in_a_closure_points_at_its_word(nu: Nu) -> None:
    """F4."""
    said = nu.refused("batch list | each {|r| batch status $'zz' } | get id")
    assert "nothing at" in said
    assert "this one" in said


# -- a rollback asks ------------------------------------------------------------------------------------------------


def on_terminal(nu: Nu, line: str, typed: bytes) -> tuple[int, str]:
    """How a line ends whose input is a terminal where this is typed."""
    ours, theirs = pty.openpty()
    try:
        tty.setraw(theirs)  # as nu sets it to read; what is typed before that would be changed
        os.write(ours, typed)
        done = subprocess.run(
            nu.line(line), env={**nu.env, "TERM": "xterm"}, cwd=ROOT, stdin=theirs, capture_output=True,
            timeout=PATIENCE, check=False,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize(("typed", "done"), [(b"y\r", True), (b"yes\r", True), (b"n\r", False), (b"\r", False)])
def test_a_rollback_shows_what_it_would_do_and_asks(service: FakeService, nu: Nu, typed: bytes, done: bool) -> None:
    """C12: on a terminal."""
    code, said = on_terminal(nu, f"batch rollback {ID}", typed)
    assert "web/a  upcloud: destroy ref-a" in said
    assert "Undo this? [y/N]" in said
    assert ("nothing was changed" in said, code) == ((not done), 0 if done else 1)
    assert len(service.requests("POST", f"{OWN}/rollback")) == done


def test_a_rollback_asks_nothing_with_yes_or_without_a_terminal(service: FakeService, nu: Nu) -> None:
    """C12: the line of the documents works in scripts too."""
    assert on_terminal(nu, f"batch rollback {ID} --yes", b"")[0] == 0
    assert nu.value(f"batch rollback {ID}")["id"] == ID
    assert len(service.requests("POST", f"{OWN}/rollback")) == 2
    assert service.requests("GET", f"{OWN}/rollback") == []
