"""Keeps the engine's messages in a file. The engine prints repairs of its log straight to the process's streams.

They would break `--json` output and alarm people, though a log that a kill cut short is repaired like that.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

_STREAMS = (1, 2)
_one_at_a_time = threading.Lock()  # the streams are the whole process's


@contextlib.contextmanager
def said_in(file: Path) -> Iterator[None]:
    """Redirect everything that is written to stdout or stderr to the end of the file, for the duration of the block."""
    with _one_at_a_time, contextlib.ExitStack() as stack:
        said = os.memfd_create("engine")
        stack.callback(os.close, said)
        stack.callback(_keep, said, file)
        for stream in _STREAMS:
            with contextlib.suppress(OSError):  # a process without that stream
                saved = os.dup(stream)
                stack.callback(os.close, saved)
                stack.callback(os.dup2, saved, stream)
                os.dup2(said, stream)
        yield


def _keep(said: int, file: Path) -> None:
    os.lseek(said, 0, os.SEEK_SET)
    text = os.read(said, 1024 * 1024)
    if text:
        with contextlib.suppress(OSError), file.open("ab") as log:  # a full disk: it was only talk
            log.write(text)
