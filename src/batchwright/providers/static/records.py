"""Records which run uses which server: one file per server in the state folder, complete or absent."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchwright import durable_files
from batchwright.errors import ProviderUnavailable
from batchwright.model.ids import base32
from batchwright.model.ssh_access import SshAccess
from batchwright.operations.server_batch import ServerRequest

LOCK_SECONDS = 10.0  # the folder is held for one small write at a time


class ServerClaim(Struct, frozen=True):
    """A server that a run has taken; `request` is what the run asked for."""

    ref: str
    run: str
    token: str
    request: ServerRequest
    access: SshAccess


class Records:
    """The records of one state folder. Every change is one rename or one unlink, so a killed process leaves no half."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._account = folder / "account"

    def open(self) -> None:
        """Make the folder, and give it a name that stays when it is moved. Raises ProviderUnavailable."""
        try:
            durable_files.make_private(self.folder)
            with self.alone():
                if not self._account.exists():
                    durable_files.write(self._account, f"static-{base32(os.urandom(10))}\n".encode())
        except (OSError, durable_files.FolderHeld) as error:
            raise ProviderUnavailable(
                f"static: {self.folder} cannot be used: {error}",
                hint="Make the state folder writable, or choose another one with --state-dir.",
            ) from error

    def account(self) -> str:
        """The name of this folder."""
        return self._account.read_text().strip()

    def alone(self) -> AbstractContextManager[int]:
        """Keep others from recording. Raises durable_files.Held."""
        return durable_files.alone(self.folder, LOCK_SECONDS)

    def all(self) -> list[ServerClaim]:
        """Every record, by reference. Raises ProviderUnavailable when one cannot be read."""
        found = (self.get(path.stem) for path in sorted(self.folder.glob("*.json")))
        return [record for record in found if record is not None]

    def get(self, ref: str) -> ServerClaim | None:
        """The record of this reference. Raises ProviderUnavailable when it cannot be read."""
        path = self._path(ref)
        try:
            return _with_typed_access(msgspec.json.decode(path.read_bytes(), type=ServerClaim))
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise ProviderUnavailable(
                f"static: {path} cannot be read: {error}",
                hint="It records which run uses a server. Restore it, or remove it to release the server.",
            ) from error

    def put(self, record: ServerClaim) -> None:
        """Write it, durably, while the folder is held."""
        durable_files.write(self._path(record.ref), msgspec.json.format(msgspec.json.encode(record)))

    def remove(self, ref: str) -> None:
        """Remove the record, durably; it may be gone already."""
        self._path(ref).unlink(missing_ok=True)
        durable_files.sync_folder(self.folder)

    def _path(self, ref: str) -> Path:
        return self.folder / f"{Path(ref).name}.json"


def _with_typed_access(record: ServerClaim) -> ServerClaim:
    """Older records have it as JSON among the texts of `resolved`; a repeated create must still equal its record."""
    if record.request.access is not None:
        return record
    return replace(record, request=replace(record.request, resolved={}, access=record.access))
