"""Every command that looks or asks says the same, and ends with the same code, locally and through a service."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import queue
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct
from tests.support.service_in_loop import Serving, serving, workflow

from batchwright.app.plans import Source, make_plan
from batchwright.app.runs import Runs
from batchwright.cli.main import run_command


class Said(Struct, frozen=True):
    """What a command printed and how it ended."""

    out: str
    err: str
    code: int


COMMANDS = [  # RUN is a run that is Completed, BAD one that has Failed, LEFT one that nobody drives
    (0, "list"),
    (0, "list --status completed --name FLOW --limit 1"),
    (2, "list --status compleet"),
    (0, "status RUN"),
    (0, "status RUN --steps"),
    (0, "status BAD"),
    (0, "status LEFT"),
    (2, "status nothing"),
    (2, "status r"),
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
    (0, "servers --simulate"),
    (0, "servers --simulate --run latest"),
    (2, "servers --provider nothing"),
    (2, "servers ssh nothing"),
    (2, "servers destroy nothing --simulate --yes"),
    (2, "servers destroy flow-0000 --simulate"),
    (0, "gc --run RUN"),
    (2, "gc --run LEFT"),
]


def without_moment(text: str) -> str:
    """Without what depends on when it was asked."""
    text = re.sub(r"since [\d-]+ [\d:]+", "since then", text)
    return re.sub(r'"(since|elapsed)":[\d.]+', r'"\1":0', text)


def carried_out(words: str, runs: dict[str, str], *where: str) -> Said:
    """One command, carried out in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_command([*(runs.get(word, word) for word in words.split()), *where])
    told = err.getvalue().removeprefix(f"service {where[1]}\n").replace(where[1], "PLACE")
    return Said(without_moment(out.getvalue().replace(where[1], "PLACE")), without_moment(told), code)


async def left(service: Serving, folder: Path) -> str:
    """A run that nobody drives: another process has recorded it and is gone."""
    file = folder / "left.json"
    file.write_text(json.dumps(workflow("left", 1)))
    settings, clock, stores = service.orchestrator.settings, service.orchestrator.clock, service.orchestrator.stores
    planned = await make_plan(settings, clock, Source(file), {"time_scale": 0})
    assert planned.plan is not None
    return await Runs(settings, stores, clock).create(planned.plan, "somebody")


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a service, and its runs. It has a thread of its own: commands need the main one for signals."""
    ready: queue.Queue[tuple[str, dict[str, str]] | None] = queue.Queue()
    over = threading.Event()

    async def main() -> None:
        async with serving(folder / "state") as service:
            runs = {"LEFT": await left(service, folder)}
            runs["BAD"] = (await service.submit(workflow("bad", 2), fail="bad-0000")).json["run"]
            await service.until(runs["BAD"], "Failed")
            runs["RUN"] = (await service.submit(workflow("flow", 2))).json["run"]
            await service.until(runs["RUN"], "Completed")
            ready.put((service.url, runs))
            await asyncio.to_thread(over.wait)

    def work() -> None:
        try:
            asyncio.run(main())
        finally:
            ready.put(None)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        found = ready.get()
        assert found is not None
        yield found
    finally:
        over.set()
        thread.join()


def test_all_commands_say_the_same_of_a_local_store_and_through_a_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    wrong = []
    with served(tmp_path) as (url, runs):
        for wanted, words in COMMANDS:
            for line in (words, f"{words} --json"):
                local = carried_out(line, runs, "--state-dir", str(tmp_path / "state"))
                remote = carried_out(line, runs, "--url", url)
                if local != remote or local.code != wanted or not local.out + local.err:
                    wrong.append(f"{line}: {wanted}\n  {local}\n  {remote}")
    assert not wrong, "\n".join(wrong)
