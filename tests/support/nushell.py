"""Runs the real `nu`, as `make test` installs it. Where it cannot be had its tests are skipped, but never in CI."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.support.needs import tool

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0  # seconds until a hanging nu counts as a failure


def nu_binary() -> str:
    """Where it is; the test is skipped, or fails in CI, when it is nowhere."""
    return tool("nu", "scripts/nu.sh")


class Nu:
    """Runs lines with the module, from the repository root; `commands` is all there is on the PATH."""

    def __init__(self, folder: Path, url: str, commands: Sequence[Path] = (), **more: str) -> None:
        self.binary = nu_binary()
        self.module = "core/nulib/workflows/batch.nu"
        self.env = {"HOME": str(folder), "PATH": os.pathsep.join(map(str, commands)), "BATCHWRIGHT_URL": url,
                    "NO_COLOR": "1", **more}  # fmt: skip

    def hurried(self) -> Nu:
        """With a copy of the module that does not pause between two tries."""
        folder = Path(self.env["HOME"], "hurried")
        shutil.copytree(ROOT / "core" / "nulib" / "workflows", folder)
        service = (folder / "service.nu").read_text()
        assert "const PAUSE = 1sec" in service
        (folder / "service.nu").write_text(service.replace("const PAUSE = 1sec", "const PAUSE = 0sec"))
        self.module = str(folder / "batch.nu")
        return self

    def line(self, line: str) -> list[str]:
        """The command for one line, exactly as the documents have it."""
        return [self.binary, "-c", f"use {self.module} *; {line}"]

    def __call__(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run one line."""
        return subprocess.run(
            self.line(line), env=self.env, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=PATIENCE, check=False,
        )  # fmt: skip

    def value(self, line: str) -> Any:
        """What a line that works gives."""
        done = self(f"{line} | to json --raw")
        assert done.returncode == 0, done.stderr
        return msgspec.json.decode(done.stdout)

    def refused(self, line: str) -> str:
        """What a line that does not work says; Nushell's own line breaks are taken out."""
        done = self(line)
        assert (done.returncode, done.stdout) == (1, ""), done.stdout
        return " ".join(done.stderr.replace("\n  |", " ").replace("\n  │", " ").split())

    def offers(self, text: str) -> list[str]:
        """What is offered at the end of a line that is being typed."""
        source = Path(self.env["HOME"], "typed.nu")
        source.write_text(f"use {ROOT}/core/nulib/workflows/batch.nu *\n{text}")
        position = len(source.read_bytes())
        done = subprocess.run(
            [self.binary, "--ide-complete", str(position), str(source)], env=self.env, cwd=ROOT,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=True,
        )  # fmt: skip
        return list(msgspec.json.decode(done.stdout)["completions"])
