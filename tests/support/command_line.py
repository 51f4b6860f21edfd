"""`batchwright` as a user types it: in the test's own process, or in one of its own where signals or streams matter."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import chdir, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import pytest

from batchwright import __main__ as program
from batchwright.app import adapters
from batchwright.app.patient_provider import PatientProvider
from batchwright.cli.main import run_command

PATIENCE = 120.0  # seconds until something that hangs counts as a failure
SOURCES = str(Path(__file__).parents[2] / "src")
COMMAND = [sys.executable, "-m", "batchwright"]
Done = subprocess.CompletedProcess[str]

assert program.main  # adds the commands of serve


def environment(home: Path, **more: str) -> dict[str, str]:
    """Of a user who has set nothing but this."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    return {**kept, "HOME": str(home), "PYTHONPATH": SOURCES, "NO_COLOR": "1", "COLUMNS": "120", **more}


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that cannot be asked is given up after a moment, which takes users ten seconds."""
    monkeypatch.setattr(adapters, "PatientProvider", lambda inner, looks, _: PatientProvider(inner, looks, 0.1))


def run_in_process(words: Sequence[str], env: Mapping[str, str], folder: Path | None) -> Done:
    """Carry out a command line here, with this environment, in this folder if one is named.

    Its streams are no terminal. What it starts inherits the streams of the test, so a program whose output goes
    straight to stdout needs `run_as_process`. So does whatever depends on a process that ends.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with (
        Path(os.devnull).open() as nothing,
        patch.object(sys, "stdin", nothing),
        patch.dict(os.environ, env, clear=True),
        chdir(folder) if folder else nullcontext(),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = run_command(words)
    told = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
    return Done(list(words), int(code), *told)


def run_as_process(words: Sequence[str], env: Mapping[str, str], folder: Path) -> Done:
    """The same in a process of its own."""
    return subprocess.run(
        [*COMMAND, *words], env=env, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip


class Command:
    """Types command lines as one user. `code` is the exit code that is expected, None for any."""

    def __init__(self, home: Path, **more: str) -> None:
        self.home = home
        self.env = environment(home, **more)

    def __call__(self, *words: str, code: int | None = 0) -> Done:
        return self._expect(code, run_in_process(words, self.env, self.home))

    def as_process(self, *words: str, code: int | None = 0) -> Done:
        """As a process of its own, until it ends."""
        return self._expect(code, run_as_process(words, self.env, self.home))

    def json(self, *words: str, code: int | None = 0) -> Any:
        """The one document that it prints."""
        return msgspec.json.decode(self(*words, "--json", code=code).stdout)

    def start(self, *words: str, **how: Any) -> subprocess.Popen[str]:
        """A process in the background. It is silent unless `how` says what its streams are."""
        silent = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        return subprocess.Popen(
            [*COMMAND, *words], **{**silent, "env": self.env, "cwd": self.home, "text": True, **how}
        )

    @staticmethod
    def _expect(code: int | None, done: Done) -> Done:
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done
