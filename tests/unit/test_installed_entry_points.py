"""Plug-ins are looked for again when a package is installed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batchwright.installed_entry_points import entry_points

GROUP = "batchwright.tried"


def test_a_package_that_is_installed_meanwhile_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    assert entry_points(GROUP) == ()
    installed = tmp_path / "tried-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: tried\nVersion: 1\n")
    (installed / "entry_points.txt").write_text(f"[{GROUP}]\none = tried:One\n")
    os.utime(tmp_path, (1, 1))  # another time than before, however coarse the file system's clock is
    assert [one.name for one in entry_points(GROUP)] == ["one"]
