"""The real service as a process of its own, on a port that the system chooses, and the command beside it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

PATIENCE = 120.0  # seconds until something that hangs counts as a failure
SOURCES = str(Path(__file__).parents[2] / "src")
COMMAND = [sys.executable, "-m", "batchwright"]


def environment(home: Path, **more: str) -> dict[str, str]:
    """Of a user who has set nothing but this."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    return {**kept, "HOME": str(home), "PYTHONPATH": SOURCES, "NO_COLOR": "1", "COLUMNS": "120", **more}


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


class Command:
    """Runs `batchwright` as that user."""

    def __init__(self, home: Path, **more: str) -> None:
        self.home = home
        self.env = environment(home, **more)

    def __call__(self, *args: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *args], env=self.env, cwd=self.home, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done

    def json(self, *args: str, code: int = 0) -> Any:
        """The one document that it prints."""
        return msgspec.json.decode(self(*args, "--json", code=code).stdout)
