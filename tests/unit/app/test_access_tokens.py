"""What the file of tokens promises when the machine goes down."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batchwright.app.access_tokens import Tokens
from batchwright.app.settings import Settings
from batchwright.model.role import Role


def test_a_revocation_that_was_answered_outlives_a_crash_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rename is lost with the power until the folder's names are synced: the old file would be back."""
    settings = Settings(tmp_path)
    tokens = Tokens(settings)
    tokens.create("ci", Role.ADMIN, 1.0, None)
    real, durable = os.fsync, []

    def fsync(descriptor: int) -> None:
        real(descriptor)
        if Path(f"/proc/self/fd/{descriptor}").readlink() == tmp_path:
            durable.append([one.revoked_at for one in Tokens(settings).all()])

    monkeypatch.setattr(os, "fsync", fsync)
    tokens.revoke("ci", 2.0)
    assert durable[-1] == [2.0]
