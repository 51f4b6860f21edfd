"""Random outputs of programs, of a runner's child and of first starts: bounded, without secrets, and only words."""

from __future__ import annotations

import asyncio
import random
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.fuzz import cut, forms, output, secret_of, seed_of, words
from tests.support.no_commands import no_commands

from batchwright.app.system_clock import SystemClock
from batchwright.commands.base import Launch
from batchwright.commands.clean_output import LINE_MAX, CleanOutput
from batchwright.commands.local import LocalCommands
from batchwright.model.call_outcome import Applied, Rejected
from batchwright.model.secret_reference import SecretReference
from batchwright.operations.command import CommandRequest
from batchwright.providers.local import boot_status, records, sandbox
from batchwright.secret_resolver import reveal
from batchwright.taskservs.runner.child_process import ChildDied, ChildProcess
from batchwright.taskservs.runner.child_protocol import ChildJob, Done, Host, Verb
from batchwright.taskservs.runner.fork_server import ForkServer

SEED = 11


def fit(line: str) -> bool:
    """Nothing in it that a terminal obeys."""
    return not any(unicodedata.category(one) in ("Cc", "Cs", "Cf") and one != "\t" for one in line)


def untold(secret: str, lines: list[str]) -> bool:
    """The secret is in none of the lines, nor in all of them together, as it is or encoded."""
    told = "\n".join(lines)
    return not any(form.decode().strip() in told for form in forms(secret))


def spoken(chance: random.Random, count: int) -> None:
    """Through what hears commands here and on servers."""
    for number in range(count):
        secrets = [secret_of(chance) for _ in range(chance.randrange(1, 4))]
        data = output(chance, secrets)
        lines: list[str] = []
        hearing = CleanOutput(lines.append, secrets)
        for chunk in cut(chance, data):
            hearing.hear(chunk)
        hearing.close()
        assert all(untold(secret, lines) for secret in secrets), (number, secrets, data, lines)
        assert all(fit(line) and len(line.encode()) <= 3 * LINE_MAX for line in lines), (number, data, lines)
        assert sum(map(len, lines)) <= 3 * len(data)


async def run_here(folder: Path, chance: random.Random, count: int) -> None:
    """Through real programs, whose exit alone decides."""
    for number in range(count):
        secret, code = secret_of(chance), chance.choice((0, 0, 1, 7))
        chunks = list(cut(chance, output(chance, [secret])))[:40]
        for at, chunk in enumerate(chunks):
            (folder / f"{at}").write_bytes(chunk)
        script = "".join(f"cat {at}{chance.choice(('', ' >&2'))}; " for at in range(len(chunks))) + f"exit {code}"
        environ = {"PATH": "/usr/bin:/bin", "PLANTED": secret}
        here = LocalCommands(folder / "programs", SystemClock(), environ, lambda one, known=environ: reveal(one, known))  # type: ignore[misc]
        request = CommandRequest(
            "sh", ("/bin/sh", "-c", script), env={"S": SecretReference(env="PLANTED")}, directory=str(folder)
        )
        lines: list[str] = []
        outcome = await here.launch(request, Launch("run", "do/run", f"{folder.name}-{number}", tell=lines.append))
        assert (outcome == Applied()) is (code == 0), (number, outcome)
        if isinstance(outcome, Rejected):
            lines.append(outcome.fault.message)
            assert (outcome.fault.code, len(outcome.fault.message) < 2_000) == (str(code), True)
        assert untold(secret, lines), (number, secret, chunks, lines)


async def heard(server: ForkServer, folder: Path, chance: random.Random, count: int) -> None:
    """Through the protocol of the runner's child: the answer is one of the child's, or that it died."""
    for number in range(count):
        data = words(chance, [])
        (folder / "words").write_bytes(data)
        child = ChildProcess(server, no_commands(), lambda _line: None)
        job = ChildJob("says", "1", str(folder / "words"), Verb.INSTALL, Host("a", "", "token", "default", {}))
        async with asyncio.timeout(60):
            try:
                assert isinstance(await child.run(job), Done), (number, data)
            except ChildDied:
                continue


def started(folder: Path, chance: random.Random, count: int) -> None:
    """Through what is read of a server's first start: output changes no state."""
    told = folder / records.TOLD
    told.mkdir()
    (told / records.READY).write_text(f"Id={boot_status.SCRIPT_UNIT}\nActiveState=inactive\n")
    for _ in range(count):
        data = output(chance, [])
        (told / records.SAID).write_bytes(data)
        (folder / records.CONSOLE).write_bytes(data)
        assert sandbox.states(folder) == {boot_status.SCRIPT_UNIT: "inactive"}
        for lines in (sandbox.said(folder), sandbox.tail(folder)):
            assert len(lines) <= 30
            assert all(fit(line) and len(line) <= 1_000 for line in lines), (data, lines)


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Iterator[ForkServer]:
    """Its children say what is in a file."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    server = ForkServer("tests.support.fake_child")
    yield server
    server.close()


def everything(says: ForkServer, folder: Path, seed: int, scale: int) -> None:
    spoken(random.Random(seed), 60 * scale)
    started(folder, random.Random(seed), 20 * scale)
    asyncio.run(run_here(folder, random.Random(seed), 5 * scale))
    asyncio.run(heard(says, folder, random.Random(seed), 4 * scale))


def test_some_random_outputs(says: ForkServer, tmp_path: Path) -> None:
    everything(says, tmp_path, SEED, 1)


@pytest.mark.long
def test_many_random_outputs(says: ForkServer, tmp_path: Path) -> None:
    everything(says, tmp_path, seed_of(), 50)
