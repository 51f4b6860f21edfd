"""Real programs on this machine: how they end, what they are given, and that none is left of them."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.support.children import child

from batchwright.app.system_clock import SystemClock
from batchwright.commands import local
from batchwright.commands.base import CommandServer, Launch
from batchwright.commands.local import LocalCommands
from batchwright.commands.process_marker import ProcessMarker
from batchwright.errors import SecretMissing
from batchwright.model.call_outcome import Applied, Rejected, Unknown
from batchwright.model.fault import FaultClass
from batchwright.model.secret_reference import SecretReference
from batchwright.model.ssh_access import SshAccess
from batchwright.model.trace_ids import traceparent
from batchwright.operations.command import CommandRequest
from batchwright.secret_resolver import reveal

PATIENCE = 60.0  # seconds for something that is bound to happen


class Bench:
    """A launcher with a folder of its own, and what was said."""

    def __init__(self, folder: Path) -> None:
        self.environ = {**os.environ, "BATCHWRIGHT_TOKEN": "ours", "SECRET_OF_OURS": "hunter2"}
        self.folder = folder / "programs"
        self.here = LocalCommands(self.folder, SystemClock(), self.environ, lambda one: reveal(one, self.environ))
        self.said: list[str] = []

    def launch(self, mark: str = "mark", **rest: object) -> Launch:
        return Launch("run", "do/run", f"{self.folder.parent.name}-{mark}", tell=self.said.append, **rest)  # type: ignore[arg-type]

    def trace(self, mark: str = "mark") -> ProcessMarker:
        return ProcessMarker(self.folder, f"{self.folder.parent.name}-{mark}")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def shell(script: str, **rest: object) -> CommandRequest:
    return CommandRequest("sh", ("/bin/sh", "-c", script), **rest)  # type: ignore[arg-type]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.01)


def play(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario()

    asyncio.run(main())


def run(bench: Bench, request: CommandRequest, **rest: object) -> object:
    return asyncio.run(bench.here.launch(request, bench.launch(**rest)))  # type: ignore[arg-type]


def test_it_ends_well_and_what_it_says_is_heard(bench: Bench) -> None:
    assert run(bench, shell("echo one; echo two >&2; cat")) == Applied()  # its input is empty: cat ends
    assert bench.said == ["one", "two"]
    assert list(bench.folder.iterdir()) == []


def test_what_cannot_be_started_certainly_was_not(bench: Bench, tmp_path: Path) -> None:
    for words, directory in ((("/nowhere/sh",), ""), (("/bin/sh",), str(tmp_path / "none")), (("/bin/sh", "a\0b"), "")):
        outcome = run(bench, CommandRequest("sh", words, directory=directory))
        assert isinstance(outcome, Rejected)
        assert outcome.fault.kind is FaultClass.NOT_FOUND
    assert list(bench.folder.iterdir()) == []


def test_a_program_is_found_when_it_is_started(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "say").write_text("#!/bin/sh\npwd\n")
    (tmp_path / "say").chmod(0o755)
    by_name = CommandRequest("say", ("say",), env={"PATH": str(tmp_path)}, directory="/")
    assert run(bench, CommandRequest("say", ("./say",), directory=str(tmp_path))) == run(bench, by_name) == Applied()
    assert bench.said == [str(tmp_path), "/"]
    outcome = run(bench, CommandRequest("sayy", ("sayy",), env={"PATH": str(tmp_path)}))
    assert isinstance(outcome, Rejected)
    assert outcome.fault.message == 'sayy failed to start: there is no program "sayy"'
    assert (outcome.fault.code, outcome.fault.hint) == ("program-missing", 'Did you mean "say"?')


def test_it_is_given_its_variables_and_the_secrets_and_none_of_ours(bench: Bench) -> None:
    env: dict[str, str | SecretReference] = {"PLAIN": "a b", "TOKEN": SecretReference(env="SECRET_OF_OURS")}
    assert run(bench, shell("[ $TRACEPARENT = " + traceparent("run", "do/run", undo=False) + " ]")) == Applied()
    names = "RUN STEP MARK SERVERS TOKEN"
    assert run(bench, shell(f'echo "$PLAIN $TOKEN"; for n in {names}; do env | grep ^BATCHWRIGHT_$n=; done', env=env))
    assert bench.said[:3] == ["a b ***", "BATCHWRIGHT_RUN=run", "BATCHWRIGHT_STEP=do/run"]
    assert [line.partition("=")[0] for line in bench.said[3:]] == ["BATCHWRIGHT_MARK", "BATCHWRIGHT_SERVERS"]


def test_a_secret_is_in_no_fault(bench: Bench) -> None:
    outcome = run(bench, shell("echo it is $TOKEN; exit 1", env={"TOKEN": SecretReference(env="SECRET_OF_OURS")}))
    assert "hunter2" not in str(outcome)
    assert "it is ***" in str(outcome)


def test_it_is_told_of_the_servers_in_a_private_file_that_goes_when_it_ends(bench: Bench) -> None:
    access = SshAccess("127.0.0.5", "root", 2222, "/keys/run", ("ssh-ed25519 AAAA",))
    servers = (
        CommandServer("web-01", "127.0.0.5", "local", "here", access),
        CommandServer("db-01", "10.0.0.2", "aws", "eu"),
    )
    script = 'stat -c %a "$BATCHWRIGHT_SERVERS"; cat "$BATCHWRIGHT_SERVERS"'
    assert run(bench, shell(script), servers=servers) == Applied()
    assert bench.said[0] == "600"
    web, db = json.loads(bench.said[1])
    assert web == {
        "name": "web-01", "address": "127.0.0.5", "provider": "local", "zone": "here", "host": "127.0.0.5",
        "port": 2222, "user": "root", "key": "/keys/run", "host_keys": ["ssh-ed25519 AAAA"],
    }  # fmt: skip
    assert db == {"name": "db-01", "address": "10.0.0.2", "provider": "aws", "zone": "eu"}
    assert list(bench.folder.iterdir()) == []


def test_one_that_takes_too_long_is_ended_with_all_that_it_began(bench: Bench) -> None:
    outcome = run(bench, shell("echo begun; sleep 1000 & sleep 1000"), seconds=0.5)
    assert outcome == Unknown("sh did not end within 0.5 s and was stopped:\nbegun")
    assert bench.trace().survivors() == []
    assert list(bench.folder.iterdir()) == []


def test_one_that_does_not_listen_is_ended_all_the_same(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchwright.commands.process_marker.GENTLY", 0.2)
    outcome = run(bench, shell("trap '' TERM; setsid sh -c \"trap '' TERM; sleep 1000\" & sleep 1000"), seconds=0.5)
    assert isinstance(outcome, Unknown)
    assert bench.trace().survivors() == []


def test_what_it_leaves_running_on_purpose_is_left_alone(bench: Bench, tmp_path: Path) -> None:
    script = f"sleep 1000 >/dev/null 2>&1 & echo $! >{tmp_path}/pid"
    assert run(bench, shell(script)) == Applied()
    pid = int((tmp_path / "pid").read_text())
    os.kill(pid, 0)
    assert run(bench, shell("true", undo=("/bin/true",)), undo=True) == Applied()
    os.kill(pid, signal.SIGKILL)  # it was still there


def test_one_that_holds_the_output_open_holds_nobody_up_and_is_named(bench: Bench, tmp_path: Path) -> None:
    """B5"""
    assert run(bench, shell(f"sleep 1000 & echo $! >{tmp_path}/pid; echo done"), seconds=PATIENCE) == Applied()
    assert bench.said[0] == "done"
    pid = (tmp_path / "pid").read_text().strip()
    assert f"process {pid} (sleep) can still write to its output" in bench.said[1]
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


ORPHAN = """
import asyncio, os, sys
from pathlib import Path
from batchwright.app.system_clock import SystemClock
from batchwright.commands.base import Launch
from batchwright.commands.local import LocalCommands
from batchwright.operations.command import CommandRequest

here = LocalCommands(Path(sys.argv[1]), SystemClock(), os.environ, str)
request = CommandRequest("sh", ("/bin/sh", "-c", sys.argv[3]))
def told(line):
    print(line, flush=True)
asyncio.run(here.launch(request, Launch("run", "do/run", sys.argv[2], tell=told)))
"""


def orphaned(bench: Bench, script: str) -> None:
    """Start a program in a process that is killed as soon as the program has said something."""

    async def scenario() -> None:
        mark = bench.launch().mark
        words = (sys.executable, "-c", ORPHAN, str(bench.folder), mark, script)
        async with child(*words, stdout=asyncio.subprocess.PIPE) as process:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"begun\n"
            process.kill()
            await process.wait()

    play(scenario)


def test_a_program_whose_driver_was_killed_is_told_of_and_ended_before_the_next_start(
    bench: Bench, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    orphaned(bench, f"echo begun; while :; do echo old >>{log}; sleep 0.01; done")
    assert re.fullmatch(r"still running as process \d+(, \d+)*", asyncio.run(bench.here.left_over(bench.launch())))
    assert run(bench, shell(f"echo new >>{log}")) == Applied()
    assert bench.trace().survivors() == []
    lines = log.read_text().splitlines()
    assert lines[-1] == "new"
    assert lines.count("new") == 1
    assert asyncio.run(bench.here.left_over(bench.launch())) == ""


def test_a_program_whose_driver_was_killed_can_go_on_to_its_end(bench: Bench, tmp_path: Path) -> None:
    log = tmp_path / "log"
    orphaned(bench, f"echo begun; sleep 0.3; echo more; echo more; echo done >{log}")

    async def scenario() -> None:
        await until(log.exists)
        await until(lambda: not bench.trace().survivors())

    play(scenario)
    assert log.read_text() == "done\n"


def test_a_process_without_the_mark_is_found_by_the_file_it_holds(bench: Bench) -> None:
    orphaned(bench, "echo begun; exec env -i /bin/sleep 1000")
    [pid] = bench.trace().survivors()

    async def scenario() -> None:
        await until(lambda: _name(pid) == "sleep")
        assert bench.trace().survivors() == [pid]
        assert bench.trace().held()
        assert await bench.trace().end(SystemClock())
        assert not bench.trace().held()

    play(scenario)


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def test_bytes_of_secrets_arrive_unchanged(bench: Bench, tmp_path: Path) -> None:
    """B2"""
    body = b"pa\rss\r\n'\"\\ $x \xc3\xa9\t\r"
    (tmp_path / "s").write_bytes(body + b"\n")
    secret = SecretReference(file=str(tmp_path / "s"))
    assert run(bench, shell(f'printf %s "$S" >{tmp_path}/out', env={"S": secret})) == Applied()
    assert (tmp_path / "out").read_bytes() == body


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (shell("true", env={"S": SecretReference(file="/dev/zero")}), "secret-missing"),
        (shell("true", env={"S": SecretReference(command=("false",))}), "secret-missing"),
        (shell("true", env={"S": "a\0b"}), "command-invalid"),
        (shell("true", env={"S": "x" * 140_000}), "command-too-long"),
        (CommandRequest("sh", ("/bin/sh", "-c", "true", *["x" * 100_000] * 40)), "command-too-long"),
        (CommandRequest("sh", ("/bin/sh", "-c", "true"), directory="/none"), ""),
    ],
)
def test_what_fails_before_it_is_started_is_certain(bench: Bench, request_: CommandRequest, code: str) -> None:
    """B4"""
    outcome = run(bench, request_)
    assert isinstance(outcome, Rejected)
    assert outcome.fault.code == code
    assert bench.said == []
    assert not bench.folder.exists() or list(bench.folder.iterdir()) == []


@pytest.mark.parametrize("body", [b"echo hi\n", b"#!/none/sh\n", b"#!/bin/sh\r\n"])
def test_what_the_system_does_not_start_is_certain(bench: Bench, tmp_path: Path, body: bytes) -> None:
    """B4"""
    script = tmp_path / "do"
    script.write_bytes(body)
    script.chmod(0o755)
    outcome = run(bench, CommandRequest("do", (str(script),)))
    assert isinstance(outcome, Rejected)
    assert outcome.fault.message.startswith("do failed to start: ")


def test_a_folder_of_ours_that_cannot_be_written_is_certain(bench: Bench) -> None:
    """B4"""
    bench.folder.parent.mkdir(exist_ok=True)
    bench.folder.write_text("a file where a folder should be")
    assert isinstance(run(bench, shell("true")), Rejected)


def test_short_of_descriptors_for_the_secret_is_tried_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """B4"""

    def none_left(_secret: SecretReference) -> str:
        raise OSError(errno.EMFILE, "Too many open files")

    here = LocalCommands(bench.folder, SystemClock(), bench.environ, none_left)
    outcome = asyncio.run(here.launch(shell("true", env={"S": SecretReference(env="S")}), bench.launch()))
    assert isinstance(outcome, Rejected)
    assert outcome.fault.kind is FaultClass.TRANSIENT


@pytest.mark.parametrize("code", [0, 3])
def test_the_programs_own_end_decides(bench: Bench, tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """B5: whatever goes on writing."""
    monkeypatch.setattr(local, "REST_SECONDS", 0.5)
    script = f"(while :; do echo noise; sleep 0.05; done) & echo $! >{tmp_path}/pid; echo own; exit {code}"
    task = run(bench, shell(script), seconds=PATIENCE * 2)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert task == Applied() if code == 0 else isinstance(task, Rejected)
    assert bench.said[0] in ("own", "noise")
    assert "can still write to its output" in bench.said[-1]


def test_what_it_said_last_is_heard_to_its_end_after_its_own(bench: Bench) -> None:
    """B6"""
    outcome = run(bench, shell("yes 'a long line of output' | head -n 40000; echo 'FATAL: the real cause'; exit 1"))
    assert isinstance(outcome, Rejected)
    assert outcome.fault.message.endswith("FATAL: the real cause")
    assert len(bench.said) == 40_001


def test_a_secret_is_told_in_no_form(bench: Bench) -> None:
    """B1: JSON, Python, a shell, a URL and base64 write it differently, and controls hide it."""
    secret = "p'a\"s s/\x1b[31mword"
    bench.environ["SECRET_OF_OURS"] = secret
    script = (
        "import os, sys, json, base64, shlex, urllib.parse as u; s = os.environ['S']\n"
        "for t in (s, json.dumps(s), repr(s), shlex.quote(s), u.quote(s), u.quote_plus(s), "
        "base64.b64encode(s.encode()).decode()):\n"
        "  for c in t: sys.stdout.write(c); sys.stdout.flush()\n"
        "  print()\n"
        "sys.exit(1)"
    )
    request = CommandRequest(
        "python3", (sys.executable, "-c", script), env={"S": SecretReference(env="SECRET_OF_OURS")}
    )
    told = str(run(bench, request)) + "\n".join(bench.said)
    for part in ("word", "cCdh", "s+s", "p'a", "p%27"):
        assert part not in told
    assert told.count("***") >= 14


def test_secrets_that_every_program_inherits_are_not_told(bench: Bench) -> None:
    """B1: `env`, or a shell with `set -x`, prints the tokens of providers and the password of a proxy too."""
    bench.environ["UPCLOUD_TOKEN"] = "ucat_topsecret"
    bench.environ["HTTPS_PROXY"] = "http://me:proxysecret@127.0.0.1:9"
    run(bench, shell("env; echo again ${UPCLOUD_TOKEN}"))
    said = "\n".join(bench.said)
    assert "UPCLOUD_TOKEN=***" in said
    assert "HTTPS_PROXY=http://me:***@127.0.0.1:9" in said
    assert "topsecret" not in said
    assert "proxysecret" not in said


def test_the_reason_of_a_secret_command_shows_no_inherited_secret() -> None:
    """B1: what a password tool says when it fails is reported, and it has our whole environment."""
    environ = {"PATH": os.environ["PATH"], "HCLOUD_TOKEN": "hcloudsecret99"}
    with pytest.raises(SecretMissing, match=r"refused: \*\*\*"):
        reveal(SecretReference(command=("sh", "-c", 'echo "refused: $HCLOUD_TOKEN" >&2; exit 1')), environ)
