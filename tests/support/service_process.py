"""The real service as a process of its own, on a port that the system chooses."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.command_line import COMMAND, PATIENCE, environment


@contextmanager
def service_process(home: Path, *options: str, **more: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Its address and its process; it is stopped at the end, if the test has not done it."""
    with (home / "service.log").open("a") as log:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--port", "0", "--state-dir", str(home / "state"), "--grace", "0", *options],
            env=environment(home, **more), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found is not None, (home / "service.log").read_text()
            yield found.group(), process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=PATIENCE)
            finally:
                process.kill()
