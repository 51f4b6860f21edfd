"""pyinfra's connection to its server, in the child: each command goes to the parent, which runs it over SSH.

So the child needs no login of its own, and no key. The command's output is told apart from what the login prints.
"""

from __future__ import annotations

import base64
import os
import shlex
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, NoReturn

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.output import echo
from pyinfra.api.util import get_file_io
from pyinfra.connectors.base import BaseConnector
from pyinfra.connectors.util import CommandOutput, OutputLine, extract_control_arguments, make_unix_command_for_host

from batchwright.login_output import BLANKS, TOLD_LINES, TOLD_MAX, fit, nonce
from batchwright.taskservs.runner.child_protocol import (
    CommandChunk,
    CommandEnd,
    Reconnect,
    RunCommand,
    Word,
    reply_decoder,
    written,
)

OF_OTHER_CONNECTORS = ("print_input", "remote_temp_filename")  # arguments that mean nothing here
NOT_REACHED = 255
BROKEN = -1  # what pyinfra takes for the exit code of a command whose connection was lost
LOST = 3  # exit code of this process: its parent is gone


class Parent:
    """The process that has started this one. `lines` are its replies."""

    def __init__(self, lines: BinaryIO, wire: BinaryIO) -> None:
        self._lines, self._wire = lines, wire

    def say(self, word: Word) -> None:
        """Send one message."""
        left = memoryview(written(word))
        while left:
            left = left[os.write(self._wire.fileno(), left) :]

    def ask(self, word: RunCommand | Reconnect) -> Iterator[CommandChunk | CommandEnd]:
        """Send a request; gives the replies to it, the end last."""
        self.say(word)
        while line := self._lines.readline():
            reply = reply_decoder.decode(line)
            yield reply
            if isinstance(reply, CommandEnd):
                return
        os._exit(LOST)


class PyinfraConnector(BaseConnector):  # type: ignore[misc]
    """Runs one server's commands through the parent. `shell` is what they are run with, as pyinfra's SHELL."""

    handles_execution = True

    def __init__(self, parent: Parent, state: Any, host: Any) -> None:
        super().__init__(state, host)
        self._parent, self._nonce = parent, nonce()
        self._before = False  # it has been connected before

    @staticmethod
    def make_names_data(name: str) -> NoReturn:
        """There is one server, and nobody looks for more."""
        raise NotImplementedError(name)

    @property
    def shell(self) -> str:
        """Skips what is not the command's input, says where its output begins, fixes the umask; `-c TEXT` follows."""
        skip = f'while IFS= read -r line; do [ "$line" != {self._nonce} ] || break; done'
        say = f"printf '\\n%s\\n' {self._nonce}"
        script = f'{skip}; {say}; {say} >&2; umask 022; exec sh "$@"'
        return f"sh -c {shlex.quote(script)} sh"

    def connect(self) -> None:
        """The parent is connected; after a restart of the server it connects again. Raises ConnectError."""
        if self._before:
            for end in self._parent.ask(Reconnect()):
                if isinstance(end, CommandEnd) and end.why:
                    raise ConnectError(end.why)
        self._before = True

    def run_shell_command(
        self, command: Any, print_output: bool = False, **arguments: Any
    ) -> tuple[bool, CommandOutput]:
        """Run a command. Raises OSError if it cannot be begun, TimeoutError."""
        controls = extract_control_arguments(arguments)
        return self._run(command, arguments, controls, _input(controls.get("_stdin")), print_output=print_output)

    def _run(
        self,
        command: Any,
        arguments: dict[str, Any],
        controls: Any,
        given: bytes,
        file: str = "",
        *,
        print_output: bool,
    ) -> tuple[bool, CommandOutput]:
        arguments = {name: value for name, value in arguments.items() if name not in OF_OTHER_CONNECTORS}
        line = make_unix_command_for_host(self.state, self.host, command, **arguments).get_raw_value()
        asked = RunCommand(
            line, f"{BLANKS}{self._nonce}\n".encode() + given, file, controls.get("_timeout") or 0,
            pty=bool(controls.get("_get_pty")),
        )  # fmt: skip
        streams = {"stdout": OutputAfterMark(self._nonce), "stderr": OutputAfterMark(self._nonce)}
        heard: list[OutputLine] = []

        def hear(name: str, lines: Iterator[str]) -> None:
            for text in lines:
                heard.append(OutputLine(name, text))
                if print_output:
                    echo(f"{self.host.print_prefix}{text}", err=True)

        end = CommandEnd(None)
        for reply in self._parent.ask(asked):
            if isinstance(reply, CommandEnd):
                end = reply
                break
            name = "stderr" if reply.error else "stdout"
            hear(name, streams[name].lines(reply.data))
        for name, stream in streams.items():
            hear(name, stream.rest())
        if end.timed_out:
            raise TimeoutError
        begun = streams["stdout"].begun
        if end.why and not begun:
            raise OSError(end.why)
        if end.why:
            hear("stderr", iter([end.why]))
        code = BROKEN if end.code is None else end.code
        return (code if begun else code or NOT_REACHED) in (controls.get("_success_exit_codes") or [0]), CommandOutput(
            heard
        )

    def put_file(
        self, filename_or_io: str | IO[Any], remote_filename: str, print_output: bool = False, **arguments: Any
    ) -> bool:
        """Write a file there. Raises OSError."""
        if isinstance(filename_or_io, str):
            path = Path(filename_or_io).absolute()
            data, file, size = b"", str(path), path.stat().st_size
        else:
            with get_file_io(filename_or_io) as opened:
                content = opened.read()
            data = content.encode() if isinstance(content, str) else content
            file, size = "", len(data)
        script = f'umask 077; cat > "$1" && [ "$(wc -c < "$1")" -eq {size} ]'
        command = StringCommand("sh", "-c", QuoteString(script), "sh", QuoteString(remote_filename))
        controls = extract_control_arguments(arguments)
        done, output = self._run(command, arguments, controls, data, file, print_output=print_output)
        if not done:
            raise OSError(f"{remote_filename} could not be written there: {fit(output.output)}")
        return True

    def get_file(
        self, remote_filename: str, filename_or_io: str | IO[Any], print_output: bool = False, **arguments: Any
    ) -> bool:
        """Read a file from there. Raises OSError."""
        del print_output  # it is the file
        controls = extract_control_arguments(arguments)
        command = StringCommand("base64", "<", QuoteString(remote_filename))
        done, output = self._run(command, arguments, controls, b"", print_output=False)
        if not done:
            raise OSError(f"{remote_filename} could not be read there: {fit(output.stderr)}")
        with get_file_io(filename_or_io, "wb") as opened:
            opened.write(base64.b64decode(output.stdout))
        return True


class OutputAfterMark:
    """The lines of a stream after the mark; without the mark, what was said instead. `begun`: the mark was seen."""

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self.begun = False
        self._part = b""
        self._kept: deque[str] = deque(maxlen=TOLD_LINES)

    def lines(self, data: bytes) -> Iterator[str]:
        """Add output; gives the lines that it completes."""
        *whole, self._part = (self._part + data).split(b"\n")
        for raw in whole:
            yield from self._heard(raw)

    def rest(self) -> Iterator[str]:
        """What is left when the stream has ended."""
        if self._part:
            yield from self._heard(self._part)
        if not self.begun and self._kept:
            yield "the login does not reach the command, and prints:"
            yield from self._kept

    def _heard(self, raw: bytes) -> Iterator[str]:
        line = raw.decode(errors="replace")
        if self.begun:
            yield line
        elif line.strip() == self._mark:
            self.begun = True
        elif line.strip():
            self._kept.append(line[-TOLD_MAX:])


def _input(given: Any) -> bytes:
    """pyinfra's `_stdin`: a text, lines or a file of text; each ends with a newline."""
    if given is None:
        return b""
    parts = given.readlines() if hasattr(given, "readlines") else given
    lines = parts if isinstance(parts, (list, tuple)) else [parts]
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines).encode()
