"""Every command that looks or asks says the same, and ends with the same code, locally and through a service."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct
from tests.support.service_in_loop import FAST, workflow
from tests.support.service_process import service_process

from batchwright.app.plans import make_plan
from batchwright.app.settings import Settings
from batchwright.app.workflow_source import Source
from batchwright.cli.main import run_command
from batchwright.client import discovery
from batchwright.client.http import HttpClient
from batchwright.client.local import LocalClient
from batchwright.model.lifecycle import RunState


class Said(Struct, frozen=True):
    """What a command printed and how it ended."""

    out: str
    err: str
    code: int


# RUN is a run that is Completed, BAD one that has Failed, LEFT one that nobody drives, DRIVEN one that waits for hours,
# LOST one whose call is not answered
COMMANDS = [
    (0, "list"),
    (0, "list --asks"),
    (0, "approvals"),
    (0, "approvals RUN"),
    (2, "approve RUN"),
    (2, "refuse LEFT"),
    (0, "list --status completed --name FLOW --limit 1"),
    (2, "list --status compleet"),
    (0, "runs flow --simulate --limit 1"),
    (2, "runs nothing"),
    (0, "status RUN"),
    (0, "status RUN --steps"),
    (0, "status BAD"),
    (0, "status LEFT"),
    (2, "status nothing"),
    (2, "status 9"),  # a digit that no id has
    (0, "monitor RUN"),
    (1, "monitor BAD"),
    (3, "monitor LEFT"),
    (0, "events RUN"),
    (0, "events RUN --follow"),
    (3, "events LEFT --follow"),
    (0, "logs RUN flow-0000"),
    (0, "logs RUN flow-0000 --follow"),
    (3, "logs LEFT left-0000 --follow"),
    (2, "logs latest nosuchstep"),
    (0, "explain RUN flow-0001"),
    (0, "explain BAD bad-0000"),
    (2, "explain latest nosuchstep"),
    (2, "explain RUN flow"),
    (0, "ask reporter RUN"),
    (0, "ask triage BAD"),
    (0, "ask planner flow"),
    (0, "ask drift flow"),
    (0, "ask find BAD state=failed"),
    (0, "ask recovery LEFT --show"),
    (2, "ask diagnoser RUN colour=red"),
    (2, "ask nobody RUN"),
    (0, "stats"),
    (0, "stats --since 2h"),
    (2, "stats --since yesterday"),
    (0, "check RUN"),
    (0, "rollback RUN --plan"),
    (2, "rollback RUN"),
    (0, "rollback LEFT --plan"),
    (2, "pause RUN"),
    (2, "pause LEFT"),
    (2, "cancel RUN"),
    (2, "cancel RUN --force"),
    (2, "resume RUN"),
    (2, "resume latest --redo nosuchstep"),
    (2, "resume DRIVEN"),
    (2, "resume RUN --forget upcloud"),
    (2, "resume DRIVEN --forget upcloud"),
    (2, "rollback DRIVEN --yes"),
    (0, "servers --simulate"),
    (0, "servers --simulate --run latest"),
    (2, "servers --provider nothing"),
    (2, "servers ssh nothing"),
    (2, "servers destroy nothing --simulate --yes"),
    (2, "servers destroy flow-0000 --simulate"),
    (0, "gc --run RUN"),
    (2, "gc --run LEFT"),
    (0, "environments"),
    (0, "list --environment flow"),
    (0, "list --environment simulated:flow --status completed"),
    (2, "list --environment real:flow"),
    (0, "status flow"),
    (0, "status simulated:shop/eu"),
    (0, "status shop/eu"),
    (0, "status left"),
    (0, "status driven"),
    (0, "status flow --steps"),
    (2, "status flew"),
    (2, "status flow/eu"),
    (2, "status real:flow"),
    (2, "status stats"),
    (2, "status a//b"),
    (0, "monitor shop/eu"),
    (0, "events flow"),
    (0, "logs flow flow-0000"),
    (0, "explain shop/eu eu-0000"),
    (0, "check flow"),
    (0, "rollback shop/eu --plan"),
    (2, "rollback shop/eu"),
    (2, "resume flow"),
    (2, "pause left"),
    (2, "cancel shop/eu"),
    (0, "drift flow"),
    (0, "drift simulated:shop/eu"),
    (2, "drift flew"),
    (2, "drift real:flow"),
    (0, "destroy flow --plan"),
    (0, "destroy flow --plan --json"),
    (2, "destroy flow"),
    (2, "destroy flew --yes"),
    (2, "destroy driven --yes"),
    (0, "rollback latest --plan"),
    (2, "rollback latest --yes"),
    (2, "cancel latest --force"),
    (2, "gc --run latest --yes"),
    (0, "gc --run flow"),
    (0, "leases"),
]


def without_moment(text: str) -> str:
    """Without what depends on when it was asked."""
    text = re.sub(r"(\d{4}-[\d-]+ )?\b\d\d:\d\d(:\d\d)?\b", "then", text)
    text = re.sub(r"(\d+ (min|h|d) )?\d+(\.\d+)? (s|min|h)\b", "0 s", text)
    return re.sub(r'"(since|elapsed|at|until)":[\d.]+', r'"\1":0', text)


def carried_out(words: str, runs: dict[str, str], *where: str) -> Said:
    """One command, carried out in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_command([*(runs.get(word, word) for word in words.split()), *where])
    told = err.getvalue().removeprefix(f"service {where[1]}\n").replace(where[1], "PLACE")
    return Said(without_moment(out.getvalue().replace(where[1], "PLACE")), without_moment(told), code)


def left(folder: Path) -> str:
    """A run that nobody drives: a process has recorded it and is gone."""
    file, settings = folder / "left.json", Settings(folder / "state")
    file.write_text(json.dumps(workflow("left", 1)))
    with LocalClient(settings) as client:
        planned = client.wait(make_plan(settings, client.clock, Source(file), {"time_scale": 0}))
        assert planned.plan is not None
        return client.start(planned.plan, "")[0]


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a service, which is another process as it is for a user, and its runs."""
    folder.mkdir(exist_ok=True)
    with service_process(folder) as (url, _), HttpClient(url) as client:

        def submitted(name: str, servers: int, status: RunState, **simulation: object) -> str:
            definition = workflow(name, servers)["batch_workflow"]
            if name == "eu":
                definition |= {"name": "shop", "environment": "eu"}
            run = client.submit(definition, {**FAST, **simulation}).run
            for update in client.follow(run):
                begun = status is not RunState.RUNNING or update.view.running  # a call is in flight
                if update.view.status is status and begun:
                    return run
            raise AssertionError(f"{run} is {update.view.status}")

        yield (
            url,
            {
                "LEFT": left(folder),
                "DRIVEN": submitted("driven", 1, RunState.RUNNING, boot_seconds=36000),
                "LOST": submitted("lost", 1, RunState.RUNNING, answer_seconds=36000),
                "EU": submitted("eu", 1, RunState.COMPLETED),
                "BAD": submitted("bad", 2, RunState.FAILED, fail="bad-0000"),
                "RUN": submitted("flow", 2, RunState.COMPLETED),
            },
        )


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No terminal to ask on, and a state folder is looked into although a service serves it."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr(discovery, "_of_this_folder", lambda *_: None)


def test_all_commands_say_the_same_of_a_local_store_and_through_a_service(tmp_path: Path) -> None:
    wrong = []
    with served(tmp_path) as (url, runs):
        for wanted, words in COMMANDS:
            for line in (words, f"{words} --json"):
                local = carried_out(line, runs, "--state-dir", str(tmp_path / "state"))
                remote = carried_out(line, runs, "--url", url)
                if local != remote or local.code != wanted or not local.out + local.err:
                    wrong.append(f"{line}: {wanted}\n  {local}\n  {remote}")
    assert not wrong, "\n".join(wrong)


# Each changes its run, so each client has a run of its own, which is in this state afterwards.
CHANGES = [
    (0, "pause DRIVEN", "Paused"),
    (2, "pause DRIVEN", "Paused"),
    (0, "resume DRIVEN", "Running"),
    (0, "cancel DRIVEN --force", "Cancelled"),
    (3, "monitor DRIVEN", "Cancelled"),
    (0, "rollback DRIVEN --yes", "RolledBack"),
    (2, "resume DRIVEN", "RolledBack"),
    (0, "rollback RUN --yes", "RolledBack"),
    (1, "resume BAD", "Failed"),
    (0, "cancel LEFT", "Cancelled"),
    (0, "resume LEFT", "Completed"),
    (0, "cancel LOST --force", "Cancelled"),
    (2, "resume LOST --forget hetzner", "Cancelled"),
    (2, "resume LOST --forget simulated --redo up", "Cancelled"),
    (0, "resume LOST --forget simulated", "Cancelled"),
    (2, "resume LOST --forget simulated", "Cancelled"),
]
VARIES = (
    *(
        r"[\d-]+ \d\d:\d\d:\d\d",
        r"(\d+ (min|h|d) )?[\d.]+ (m?s|min|h)\b",
        r"(?m:^) +",
        r"process \d+",
        r"by (root|local)\b",
    ),
    *(r'"driver":"[^"]*"', r'"[a-z_]+":[\d.]+', r"simulated-\d+", r"198\.18\.\d+\.\d+"),
)


def until(url: str, run: str, state: str) -> None:
    """Follow the run until it is in this state."""
    with HttpClient(url) as client:
        for update in client.follow(run):
            if update.view.status == state:
                return
    raise AssertionError(f"{run} is {update.view.status}, not {state}")


def alike(said: Said, runs: dict[str, str]) -> Said:
    """The same of two runs: without ids, moments, who asked and the process that was asked."""
    out, err = said.out, said.err
    for name, run in runs.items():
        out, err = out.replace(run, name), err.replace(run, name)
    varies = "|".join(VARIES)
    return Said(re.sub(varies, "", out), re.sub(varies, "", err), said.code)


def test_all_changes_say_the_same_of_a_local_store_and_through_a_service(tmp_path: Path) -> None:
    wrong = []
    with served(tmp_path / "a") as (url, theirs), served(tmp_path / "b") as (other, ours):
        for wanted, words, state in CHANGES:
            name = words.split()[1]
            local = alike(carried_out(words, ours, "--state-dir", str(tmp_path / "b" / "state")), ours)
            until(other, ours[name], state)
            remote = alike(carried_out(words, theirs, "--url", url), theirs)
            until(url, theirs[name], state)
            if local != remote or local.code != wanted or not local.out + local.err:
                wrong.append(f"{words}: {wanted}\n  {local}\n  {remote}")
    assert not wrong, "\n".join(wrong)
