"""The audit trail: one JSON line for everything that was asked to change something, by whom, and what came of it."""

from __future__ import annotations

import os

import msgspec
from msgspec import Struct

from batchwright.app.settings import Settings
from batchwright.journal.folder import make_private


class Deed(Struct, frozen=True):
    """One line. `status` is the HTTP status, 0 for the command line; `code` the error's code where it was refused."""

    at: float
    who: str
    role: str
    what: str
    run: str = ""
    status: int = 0
    code: str = ""
    address: str = ""


class Audit:
    """Appends to audit.jsonl in the state folder, which only its owner can read. Nothing is ever rewritten."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.state_dir
        self._path = settings.state_dir / "audit.jsonl"

    def write(self, deed: Deed) -> None:
        """Append one line; each is one write, so that several processes may append. Raises OSError, StoreError."""
        make_private(self._folder)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, msgspec.json.encode(deed) + b"\n")
        finally:
            os.close(descriptor)
