"""What a program says: bytes become whole lines for people, without secrets and without what moves a cursor."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable

from batchwright.programs.base import Tell

LINE_MAX = 16 * 1024  # bytes; a longer line is cut
LAST_LINES, LAST_CHARACTERS = 8, 1_500  # of the output, in a fault
BLOT = "***"
PART_MIN = 4  # characters of a line of a secret; a shorter one by itself gives nothing away

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f]")


class Output:
    """Hears what a program says. Each secret, and each line of one that has several, is blotted out."""

    def __init__(self, tell: Tell, secrets: Iterable[str] = ()) -> None:
        self._tell = tell
        self._held = b""
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        parts = {part for secret in secrets for part in (secret, *secret.splitlines())}
        whole = set(secrets)
        self._secrets = sorted((p for p in parts if p in whole or len(p) >= PART_MIN), key=len, reverse=True)
        self._longest = max((len(part.encode()) for part in self._secrets), default=0)

    def hear(self, data: bytes) -> None:
        """Some more of it."""
        *lines, self._held = (self._held + data).split(b"\n")
        for line in lines:
            self._say(line)
        while len(self._held) > LINE_MAX + self._longest:
            for secret in self._secrets:  # what is whole goes first, so the cut below can go through none
                self._held = self._held.replace(secret.encode(), BLOT.encode())
            self._say(self._held[:LINE_MAX])
            self._held = self._held[LINE_MAX:]

    def close(self) -> None:
        """That was all."""
        if self._held:
            self._say(self._held)
            self._held = b""

    def _say(self, line: bytes) -> None:
        text = line.decode("utf-8", errors="replace").rstrip("\r").rpartition("\r")[2]  # a bar that redraws itself
        text = self.blotted(_CONTROL.sub("", text))
        if text.strip():
            self._last.append(text)
            self._tell(text)

    def blotted(self, text: str) -> str:
        """The text without the secrets."""
        for secret in self._secrets:
            text = text.replace(secret, BLOT)
        return text

    def last(self) -> str:
        """The last lines of it, for a fault."""
        return "\n".join(self._last)[-LAST_CHARACTERS:]
