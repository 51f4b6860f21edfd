"""What a test needs of the machine. A missing part is a skip at home, which is reported, and a failure in CI."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest


def missing(reason: str) -> NoReturn:
    """Skip the test; in CI fail it, for there the set-up has to bring every part."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (at home this test would be skipped; CI must have it)")
    pytest.skip(reason)


def tool(name: str, script: str) -> str:
    """The path of a program that this script of the repository installs, in the virtual environment or the system."""
    beside = Path(sys.prefix, "bin", name)
    found = str(beside) if beside.exists() else shutil.which(name)
    return found or missing(f"{name} is not installed; {script} installs it")
