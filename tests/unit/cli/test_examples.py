"""Examples are copied to where nothing is, or the user hears why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchwright.cli.examples import copy_example
from batchwright.errors import UsageError


def test_a_link_at_the_place_of_the_copy_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "site.ncl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"site\.ncl exists"):
        copy_example("site", tmp_path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("place", ["file", "file/below", "n" * 300])
def test_a_folder_that_cannot_be_made_is_told(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot copy to"):
        copy_example("site", tmp_path / place)
