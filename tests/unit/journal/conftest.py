"""Disks that misbehave: very small ones and ones that cannot be written."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.needs import missing


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a memory disk with these options; skips where that is not allowed."""
    places: list[Path] = []

    def mount(options: str) -> Path:
        place = tmp_path / f"disk{len(places)}"
        place.mkdir()
        if os.geteuid() != 0:
            missing("only root may mount a disk")
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            missing(f"a disk cannot be mounted here: {run.stderr.strip()}")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", "--lazy", str(place)], check=True)  # a failed test may still hold a file
