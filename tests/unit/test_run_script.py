"""scripts/run.sh: which example it runs on which machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAKE = """#!/bin/sh
case "$1" in
providers) echo '{"providers": [{"name": "local", "capabilities": CAPABILITIES}]}' ;;
local) exit BUILT ;;
*) echo "typed: $*" ;;
esac
"""


@pytest.mark.parametrize(
    ("capabilities", "built", "typed"),
    [
        ('{"init": true}', 0, "run workflows/local_services.ncl --resume"),
        ('{"init": true}', 2, "run workflows/example_batch.ncl --simulate --resume"),
        ('{"init": false}', 0, "run workflows/example_batch.ncl --simulate --resume"),  # a plain user
        ("null", 0, "run workflows/example_batch.ncl --simulate --resume"),
    ],
)
def test_the_real_example_where_servers_have_systemd(capabilities: str, built: int, typed: str, tmp_path: Path) -> None:
    program = tmp_path / "batchwright"
    program.write_text(FAKE.replace("CAPABILITIES", capabilities).replace("BUILT", str(built)))
    program.chmod(0o755)
    (tmp_path / "python").symlink_to(sys.executable)
    done = subprocess.run([ROOT / "scripts/run.sh", tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"typed: {typed}"
