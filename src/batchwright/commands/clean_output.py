"""Turns the output of a program into lines for people, without secrets and control characters."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from batchwright.commands.base import Tell
from batchwright.printable import shortened
from batchwright.redaction import Redactor

LINE_MAX = 16 * 1024  # bytes; a longer line is split
LAST_LINES, LAST_CHARACTERS = 8, 1_500  # of the output that goes into a fault


class CleanOutput:
    """Receives the output of a program. Secrets are replaced before anything else is done with it."""

    def __init__(self, tell: Tell, secrets: Iterable[str] = ()) -> None:
        self._tell = tell
        self.heard = 0  # bytes received
        self._redact = Redactor(secrets)
        self._stream = self._redact.stream()
        self._held = b""
        self._last: deque[str] = deque(maxlen=LAST_LINES)

    def hear(self, data: bytes) -> None:
        """Receive bytes of output."""
        self.heard += len(data)
        *lines, self._held = (self._held + self._stream.feed(data)).split(b"\n")
        for line in lines:
            self._say(line)
        while len(self._held) > LINE_MAX:
            self._held = self._piece(self._held)

    def close(self) -> None:
        """The output is complete."""
        *lines, self._held = (self._held + self._stream.close()).split(b"\n")
        for line in (*lines, self._held):
            self._say(line)
        self._held = b""

    def _say(self, line: bytes) -> None:
        while len(line) > LINE_MAX:
            line = self._piece(line)
        text = line.decode("utf-8", errors="replace").rstrip("\r").rpartition("\r")[2]  # a progress bar redraws itself
        text = self._redact.shown(text)  # again, because removing colour codes may have joined the parts of a secret
        if text.strip():
            self._last.append(text)
            self._tell(text)

    def _piece(self, line: bytes) -> bytes:
        """Emit the beginning of a long line, split between characters. Returns the rest."""
        cut = LINE_MAX
        while cut > LINE_MAX - 4 and line[cut] & 0xC0 == 0x80:
            cut -= 1
        self._say(line[:cut])
        return line[cut:]

    def last(self) -> str:
        """The last lines of the output, for a fault."""
        return shortened("\n".join(self._last), LAST_CHARACTERS)
