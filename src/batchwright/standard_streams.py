"""Makes the process's three standard streams safe: a failed print never ends the work that it reports on."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import TextIO

_LEFT = (errno.EPIPE, errno.EIO)  # the reader of a pipe has gone, the terminal has


class _Soft(io.RawIOBase):
    """A descriptor to write to. The first failure is kept; whatever is written after it goes nowhere."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.failure: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        while self.failure is None:
            try:
                return os.write(self._descriptor, view)
            except BlockingIOError:  # another process that shares it made it non-blocking
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.failure = error
        return view.nbytes


_stdout: list[_Soft] = []


def guard() -> None:
    """Open on /dev/null what was closed, so that no file of ours becomes stdout; make printing fail softly.

    To be called once, before anything else opens a file.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            os.dup2(opened, descriptor)  # which programs that are started inherit
            if opened != descriptor:
                os.close(opened)
            else:
                os.set_inheritable(descriptor, True)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    raw = _Soft(1)
    _stdout[:] = [raw]
    sys.stdout = _text(raw, sys.stdout)
    sys.stderr = _text(_Soft(2), sys.stderr)


def _text(raw: _Soft, before: TextIO | None) -> io.TextIOWrapper:
    """No letter that the locale lacks ends a run."""
    encoding = before.encoding if before is not None else "utf-8"
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding, errors="replace", line_buffering=True)


def failure() -> OSError | None:
    """Why the output was not all written, unless its reader closed it on purpose."""
    found = _stdout[0].failure if _stdout else None
    return found if found is not None and found.errno not in _LEFT else None


def unread() -> bool:
    """Whether the reader of stdout is gone."""
    return bool(_stdout) and _stdout[0].failure is not None
