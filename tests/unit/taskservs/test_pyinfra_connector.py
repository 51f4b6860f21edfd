"""The child's connection: what it asks its parent for, and what it makes of the answers."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import Config, State
from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import ConnectError

from batchwright.taskservs.runner.child_main import OneServer
from batchwright.taskservs.runner.child_protocol import CommandChunk, CommandEnd, Reconnect, RunCommand
from batchwright.taskservs.runner.pyinfra_connector import OutputAfterMark, Parent, PyinfraConnector


class Answers(Parent):
    """A parent that runs commands here; `noise` is run by the login, `end` replaces the end."""

    def __init__(self, noise: str = "", end: CommandEnd | None = None) -> None:
        self._noise, self._end = noise, end
        self.asked: list[RunCommand | Reconnect] = []

    def ask(self, word: RunCommand | Reconnect) -> Iterator[CommandChunk | CommandEnd]:
        self.asked.append(word)
        code: int | None = 0
        if isinstance(word, RunCommand):
            given = word.input + (Path(word.file).read_bytes() if word.file else b"")
            line = ["sh", "-c", f"{self._noise}\n{word.command}"]
            done = subprocess.run(line, input=given, capture_output=True, check=False, timeout=60)
            for at in range(0, len(done.stdout), 5):  # in pieces: a mark may be cut
                yield CommandChunk(done.stdout[at : at + 5])
            yield CommandChunk(done.stderr, error=True)
            code = done.returncode
        yield self._end or CommandEnd(code)


def connector(parent: Parent) -> PyinfraConnector:
    inventory = OneServer("one", parent)
    state = State(inventory, Config())
    (host,) = inventory
    assert host.state is state
    it: PyinfraConnector = host.connector
    it.connect()
    return it


def run(it: PyinfraConnector, command: str, **arguments: Any) -> tuple[bool, list[str], list[str]]:
    ok, output = it.run_shell_command(StringCommand(command), _shell_executable=it.shell, **arguments)
    return ok, output.stdout_lines, output.stderr_lines


@pytest.mark.parametrize("noise", ["", "printf 'Welcome to it'; echo oh >&2", "read -r a; read -r b"])
def test_a_command_has_its_input_its_output_and_its_code(noise: str) -> None:
    it = connector(Answers(noise))
    assert run(it, "cat; echo oops >&2; exit 3", _stdin=["one", "two\n"]) == (False, ["one", "two"], ["oops"])
    assert run(it, "exit 3", _success_exit_codes=[3]) == (True, [], [])
    assert run(it, "printf 'no end\\377'") == (True, ["no end\N{REPLACEMENT CHARACTER}"], [])
    assert run(it, "umask") == (True, ["0022"], [])


def test_a_login_that_does_not_reach_the_command_is_no_success() -> None:
    ok, _, stderr = run(connector(Answers("echo go away >&2; exit 0")), "echo in")
    assert (ok, stderr) == (False, ["the login does not reach the command, and prints:", "go away"])


def test_what_the_parent_cannot_do_is_an_error() -> None:
    with pytest.raises(TimeoutError):
        run(connector(Answers(end=CommandEnd(None, timed_out=True))), "true", _timeout=5)
    with pytest.raises(OSError, match="no connection"):
        run(connector(Answers("exit 1", CommandEnd(None, "no connection"))), "true")
    broke = run(connector(Answers(end=CommandEnd(None, "it broke"))), "echo half")
    assert broke == (False, ["half"], ["it broke"])
    it = connector(Answers(end=CommandEnd(None, "not yet")))
    with pytest.raises(ConnectError, match="not yet"):
        it.connect()  # again: the server has restarted


def test_its_time_limit_is_the_parents(tmp_path: Path) -> None:
    parent = Answers()
    run(connector(parent), "true", _timeout=5, _get_pty=True)
    (asked,) = parent.asked
    assert isinstance(asked, RunCommand)
    assert (asked.seconds, asked.pty) == (5, True)


def test_files_go_there_and_back(tmp_path: Path) -> None:
    it, content = connector(Answers()), bytes(range(256)) * 999
    (tmp_path / "here").write_bytes(content)
    there = tmp_path / "that's there"
    for source in (str(tmp_path / "here"), io.BytesIO(content)):
        assert it.put_file(source, str(there), _shell_executable=it.shell)
        assert (there.read_bytes(), there.stat().st_mode & 0o777) == (content, 0o600)
        there.unlink()
    assert it.put_file(io.StringIO("text"), str(there), _shell_executable=it.shell)
    got = io.BytesIO()
    assert it.get_file(str(tmp_path / "here"), got, _shell_executable=it.shell)
    assert got.getvalue() == content
    with pytest.raises(OSError, match="could not be written there"):
        it.put_file(io.StringIO("text"), str(tmp_path / "none/x"), _shell_executable=it.shell)
    with pytest.raises(OSError, match="could not be read there"):
        it.get_file(str(tmp_path / "none/x"), io.BytesIO(), _shell_executable=it.shell)


def test_lines_after_the_mark_are_told_however_they_are_cut() -> None:
    stream = OutputAfterMark("mark")
    whole = b"noise\nmark\none\n\ntwo \xc3\xa4\nend"
    cut = [line for at in range(len(whole)) for line in stream.lines(whole[at : at + 1])]
    assert [*cut, *stream.rest()] == ["one", "", "two \N{LATIN SMALL LETTER A WITH DIAERESIS}", "end"]


def test_a_child_without_its_parent_ends() -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        with Path(os.devnull).open("rb") as lines, os.fdopen(writing, "wb") as wire:
            next(Parent(lines, wire).ask(Reconnect()), None)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    os.close(reading)
    os.close(writing)
    assert os.waitstatus_to_exitcode(status) == 3
