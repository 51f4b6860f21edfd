"""Files of settings that somebody else may have put there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batchwright.app.settings import config_from
from batchwright.errors import ConfigInvalid
from batchwright.regular_files import contents


def _place(tmp_path: Path) -> Path:
    (tmp_path / "batchwright").mkdir()
    return tmp_path / "batchwright" / "config.toml"


@pytest.mark.parametrize("target", ["pipe", "/dev/zero", "/dev/tty"])
def test_only_a_regular_file_is_read(target: str, tmp_path: Path) -> None:
    """B3: a pipe was waited for, and a device read until there was no memory."""
    place = _place(tmp_path)
    if target == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(target)
    with pytest.raises(ConfigInvalid, match=r"cannot read .*config\.toml"):
        config_from({"XDG_CONFIG_HOME": str(tmp_path)})


def test_what_is_too_long_is_refused_with_its_bound(tmp_path: Path) -> None:
    """B3: reading is bounded."""
    place = tmp_path / "file"
    place.write_bytes(b"x" * 11)
    assert contents(place, 11) == b"x" * 11
    with pytest.raises(OSError, match="larger than 10 bytes"):
        contents(place, 10)
