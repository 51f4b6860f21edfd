"""Separates the output of a command from what the login itself prints: markers enclose it, and only it is parsed.

A start-up file of a server's shell may print anything, ask questions, or end at once. Pure.
"""

from __future__ import annotations

import secrets

from batchwright.printable import printable

KEPT = 64 * 1024  # bytes of what was said before the mark
OUTPUT_MAX = 1024 * 1024  # bytes of what a script prints: of more, the middle goes
TOLD_LINES, TOLD_MAX = 5, 200  # of that, in an error
BLANKS = "\n" * 64  # what start-up files that ask something read instead of the script


def nonce() -> str:
    """A random text that no server can print by chance."""
    return f"batchwright-{secrets.token_hex(8)}"


class MarkedOutput:
    """Reads one command's output. `begun`: the marker was seen, so the command was reached."""

    def __init__(self) -> None:
        self.nonce = nonce()
        self.begun = False
        self._mark = f"\n{self.nonce}\n".encode()
        self._before = b""

    def begin(self) -> str:
        """The shell line that prints the marker."""
        return f"printf '\\n%s\\n' {self.nonce}"

    def hear(self, data: bytes) -> bytes:
        """Add output; gives the part of it after the marker."""
        if self.begun:
            return data
        self._before += data
        before, mark, after = self._before.partition(self._mark)
        self.begun = bool(mark)
        self._before = before[-KEPT:]
        return after

    def login(self) -> str:
        """The end of what was printed before the marker."""
        return fit(self._before.decode(errors="replace"))


class FramedOutput:
    """Like `MarkedOutput`, with a second marker after a script's output that gives its exit code."""

    def __init__(self, most: int = OUTPUT_MAX) -> None:
        self._marked, self._ends = MarkedOutput(), HeadTailBuffer(most)

    @property
    def begun(self) -> bool:
        """Whether the script was reached."""
        return self._marked.begun

    @property
    def left_out(self) -> int:
        """How many bytes of its output were not kept."""
        return self._ends.left_out

    def script(self, text: str) -> str:
        """The script for `sh -s`, written so that the shell reads all of it before it runs any."""
        end = f"code=$?; printf '\\n%s %s\\n' {self._marked.nonce} $code; exit $code"
        return f"{BLANKS}{self._marked.begin()}\n(\n{text}\n) </dev/null 2>&1\n{end}\n"

    def hear(self, data: bytes) -> None:
        """Add output from the server."""
        self._ends.add(self._marked.hear(data))

    def ended(self) -> tuple[int | None, str]:
        """The exit code, None without the second marker, and the output of the script."""
        whole = self._ends.content()
        output, mark, code = whole.rpartition(f"\n{self._marked.nonce} ".encode())
        word = code.partition(b"\n")[0]
        known = int(word) if mark and word.isdigit() else None
        return known, (output if mark else whole).decode(errors="replace")

    def login(self) -> str:
        """The end of what was printed before the script began."""
        return self._marked.login()


class HeadTailBuffer:
    """The beginning and the end of an output; a line between them says what is left out."""

    def __init__(self, most: int) -> None:
        self._head = self._tail = b""
        self._most = most
        self.left_out = 0

    def add(self, data: bytes) -> None:
        """Append output; what exceeds the limit is dropped from the middle."""
        room = self._most // 2 - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > self._most:
            self._cut()

    def _cut(self) -> None:
        """Whole lines, where there are any: half of one may be half of a secret."""
        at = len(self._tail) - self._most // 2
        at = self._tail.find(b"\n", at) + 1 or at
        self.left_out += at
        self._tail = self._tail[at:]

    def content(self) -> bytes:
        """The kept output; a line in the middle says how much was dropped."""
        gap = f"\n... ({self.left_out:,} bytes omitted) ...\n".encode() if self.left_out else b""
        return self._head + gap + self._tail


def fit(text: str) -> str:
    """The last non-blank lines, for an error message: printable, and shortened."""
    lines = [line.strip() for line in printable(text).split("\n")]
    return "; ".join([line[-TOLD_MAX:] for line in lines if line][-TOLD_LINES:])
