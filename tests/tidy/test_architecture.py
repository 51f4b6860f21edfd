"""ARCHITECTURE names only files that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOMES = ("", "src/batchwright", "tests", "core/nulib")


def test_every_file_that_architecture_names_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"`([a-z0-9_]+(?:/[a-z0-9_-]+)+\.(?:py|ncl|nu|sh|md))`", text))
    assert len(named) > 50
    assert [one for one in sorted(named) if not any((ROOT / home / one).exists() for home in HOMES)] == []
