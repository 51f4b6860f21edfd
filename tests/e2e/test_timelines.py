"""The timelines in docs/explanation are those of the rehearsals that stand above them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from tests.support.command_line import environment, run_in_process

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/explanation/crash-protocol.md").read_text()
SHOWN = re.findall(r"^```text\n\$ (batchwright [^\n]+)\n\.\.\.\n(.*?)\.\.\.\n```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("line", "timeline"), SHOWN, ids=lambda text: text[-13:-1])
def test_a_timeline_is_what_is_printed(line: str, timeline: str, tmp_path: Path) -> None:
    done = run_in_process(shlex.split(line)[1:], environment(tmp_path), ROOT)
    assert done.returncode == 0, done.stderr
    assert timeline in done.stdout


def test_there_are_timelines() -> None:
    assert len(SHOWN) == 2
