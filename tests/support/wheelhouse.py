"""The packages that Batchwright needs, as files: what is installed from them needs no network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def fetch_wheels(folder: Path, python: str, extras: str = "all") -> None:
    """Fetch them at the versions of constraints.txt, for this version of Python, such as `3.11`."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "-d", str(folder), "-c", "constraints.txt"]
    command = [*pip, "--only-binary=:all:", f"--python-version={python}", f".[{extras}]"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
