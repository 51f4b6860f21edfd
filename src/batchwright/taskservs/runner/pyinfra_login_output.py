"""What pyinfra sends to a server and reads from it, apart from what the login there reads and says by itself."""

from __future__ import annotations

import contextlib
import shlex
from collections import deque
from collections.abc import Callable, Iterator
from typing import IO, Any

from pyinfra.api.util import get_file_io

from batchwright.login_output import BLANKS, TOLD_LINES, TOLD_MAX, fit, nonce

NOT_REACHED = 255


class PyinfraMarkedOutput:
    """Stands around the commands of one server. `shell` is what pyinfra runs them with."""

    def __init__(self, connector: Any) -> None:
        self._nonce = nonce()
        self._exec: Callable[..., Any] = connector.client.exec_command
        connector.client.exec_command = self._run
        connector._put_file = self._put

    @property
    def shell(self) -> str:
        """Skips what is not the command's input, says where its output begins, fixes the umask; `-c TEXT` follows."""
        skip = f'while IFS= read -r line; do [ "$line" != {self._nonce} ] || break; done'
        say = f"printf '\\n%s\\n' {self._nonce}"
        script = f'{skip}; {say}; {say} >&2; umask 022; exec sh "$@"'
        return f"sh -c {shlex.quote(script)} sh"

    def _run(self, command: str, **settings: Any) -> tuple[Any, _After, _After]:
        stdin, stdout, _ = self._exec(command, **settings)
        with contextlib.suppress(OSError):  # it has ended already: what it said tells why
            stdin.write(f"{BLANKS}{self._nonce}\n")
        channel = stdout.channel  # bytes: text would end at the first that is no UTF-8
        return stdin, _After(channel.makefile("rb"), self._nonce), _After(channel.makefile_stderr("rb"), self._nonce)

    def _put(self, source: str | IO[Any], path: str) -> None:
        """Over a command: sftp breaks where a login prints, and goes on where one ends."""
        with get_file_io(source) as file:
            content = file.read()
        data = content.encode() if isinstance(content, str) else content
        script = f'umask 077; cat > "$1" && [ "$(wc -c < "$1")" -eq {len(data)} ]'
        stdin, stdout, _ = self._run(f"{self.shell} -c {shlex.quote(script)} sh {shlex.quote(path)}")
        stdin.channel.set_combine_stderr(True)
        stdin.write(data)
        stdin.channel.shutdown_write()
        said = "".join(stdout)
        if stdout.recv_exit_status() != 0:
            raise OSError(f"{path} could not be written there: {fit(said)}")


class _After:
    """The lines of a stream after the mark; where there is none, what was said instead, and no success."""

    def __init__(self, stream: Any, mark: str) -> None:
        self._stream, self._mark = stream, mark
        self._begun = False
        self._kept: deque[str] = deque(maxlen=TOLD_LINES)

    def __iter__(self) -> Iterator[str]:
        for line in (raw.decode(errors="replace") for raw in self._stream):
            if self._begun:
                yield line
            elif line.strip() == self._mark:
                self._begun = True
            elif line.strip():
                self._kept.append(line[-TOLD_MAX:])
        if not self._begun and self._kept:
            yield "the login does not reach the command, and prints:\n"
            yield from self._kept

    @property
    def channel(self) -> _After:
        """What pyinfra asks how it ended."""
        return self

    def recv_exit_status(self) -> int:
        """The exit code of the command."""
        status: int = self._stream.channel.recv_exit_status()
        return status if self._begun else status or NOT_REACHED
