"""`make rehearsal`: two emulated clouds with real servers behind them, from nothing to nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.command_line import environment
from tests.support.sandboxes import need_sandboxes

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_the_rehearsal_makes_installs_checks_and_takes_all_of_it_away(tmp_path: Path) -> None:
    base = need_sandboxes()
    environ = environment(tmp_path, TMPDIR=str(tmp_path), XDG_CACHE_HOME=str(base.parents[2]))
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
