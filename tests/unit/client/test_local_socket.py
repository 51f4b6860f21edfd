"""The service's own socket in the state folder."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from batchwright.api.local_socket import listening
from batchwright.client import local_socket
from batchwright.errors import AddressRefused


@pytest.mark.parametrize("deep", [0, 6], ids=["short", "longer than a socket's name may be"])
def test_only_its_user_reaches_it_however_deep_the_folder_lies(deep: int, tmp_path: Path) -> None:
    """A5: mode 0600 in a folder of mode 0700."""
    state = Path(tmp_path, *["a-folder-with-a-long-name"] * deep)
    path = local_socket.path_of(state)
    with listening(state) as sock:
        assert sock is not None
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        local_socket.connect(path, 1.0).close()
    assert not path.exists()


def test_a_second_service_of_the_folder_leaves_the_first_its_socket(tmp_path: Path) -> None:
    """A5."""
    with listening(tmp_path) as first:
        with listening(tmp_path) as second:
            assert second is None
        local_socket.connect(local_socket.path_of(tmp_path), 1.0).close()
        assert first is not None


def test_what_a_killed_service_left_is_replaced(tmp_path: Path) -> None:
    """A5."""
    path = local_socket.path_of(tmp_path)
    path.parent.mkdir()
    path.parent.chmod(0o777)
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    with listening(tmp_path) as sock:
        assert sock is not None
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        local_socket.connect(path, 1.0).close()


def test_a_folder_of_somebody_elses_is_not_used(tmp_path: Path) -> None:
    """A5: nor one that a link leads to."""
    (tmp_path / "other").mkdir()
    (tmp_path / "service").symlink_to("other")
    with pytest.raises(AddressRefused, match="does not belong to this user"), listening(tmp_path):
        pass
    assert not [*(tmp_path / "other").iterdir()]
