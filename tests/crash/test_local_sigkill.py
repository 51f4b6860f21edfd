"""Real SIGKILL, at random, of processes that make and destroy real servers of this machine; nothing may be left."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from batchwright.app.system_clock import SystemClock
from batchwright.providers.local.adapter import Local
from batchwright.providers.local.records import ref_of
from tests.crash.local_lives import NAMES, token
from tests.support.sandboxes import leftovers, need_sandboxes

KILLS = (6, pytest.param(32, marks=pytest.mark.long))
PATIENCE = 300


@pytest.mark.parametrize("kills", KILLS)
def test_servers_made_and_destroyed_under_sigkill_leave_nothing(
    kills: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need_sandboxes()
    state_dir = tmp_path / "state"
    command = [sys.executable, "-m", "tests.crash.local_lives", str(state_dir), "4", str(kills)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.stdout.endswith("all ready\nall gone\n"), f"{done.stdout}\n{done.stderr}"
    lives = re.findall(r"^(\d+) (make|destroy)$", done.stdout, re.MULTILINE)
    assert int(lives[-1][0]) == kills
    account = asyncio.run(Local.connect("local", SystemClock(), {"state_dir": str(state_dir)}).account())
    assert leftovers(state_dir, [ref_of(account, token(name)) for name in NAMES]) == []
    with capsys.disabled():
        print(f"\nlocal: {kills} kills in {len(lives)} lives over {len(NAMES)} servers")
