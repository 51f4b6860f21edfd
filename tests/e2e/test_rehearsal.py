"""`make rehearsal`: two emulated clouds with real servers behind them, from nothing to nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.sandboxes import need_sandboxes

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_the_rehearsal_makes_installs_checks_and_takes_all_of_it_away(tmp_path: Path) -> None:
    need_sandboxes()
    environ = {**os.environ, "TMPDIR": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    script, here = str(ROOT / "scripts" / "rehearse.sh"), str(Path(sys.executable).parent)
    done = subprocess.run(
        [script, here],
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    told = done.stdout
    assert done.returncode == 0, told + done.stderr
    assert "Completed in" in told
    assert told.count("/containerd: succeeded") == 3
    assert "all healthy" in told
    assert "RolledBack in" in told
    assert list(tmp_path.iterdir()) == []
