"""Which server is whose: one file per server in the state folder, there whole or not at all."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from batchwright.errors import ProviderUnavailable
from batchwright.model.access import Access
from batchwright.model.plan import ServerRequest

ID_FILE = "account"
LOCK_SECONDS = 20.0  # the folder is held for one small write at a time


class Record(Struct, frozen=True):
    """A server that a run has taken; `request` is what the run asked for."""

    ref: str
    run: str
    token: str
    request: ServerRequest
    access: Access


class Records:
    """The records of one state folder. Every change is one rename or one unlink, so a killed process leaves no half."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def open(self) -> None:
        """Make the folder, and give it a name that stays when it is moved. Raises ProviderUnavailable."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            async with self.alone():
                if not (self.folder / ID_FILE).exists():
                    self._write(ID_FILE, secrets.token_hex(8).encode())
        except OSError as error:
            raise ProviderUnavailable(
                f"static: {self.folder} cannot be used: {error.strerror or error}",
                hint="Make the state folder writable, or name another one with --state-dir.",
            ) from error

    def account(self) -> str:
        """The name of this folder."""
        return "static-" + (self.folder / ID_FILE).read_text()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Keep others from recording; the kernel lets go when this process dies. Raises ProviderUnavailable."""
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            deadline = time.monotonic() + LOCK_SECONDS
            while not _locked(descriptor):
                if time.monotonic() > deadline:
                    raise ProviderUnavailable(f"static: another process has held {self.folder} for {LOCK_SECONDS:g} s")
                await asyncio.sleep(0.01)
            yield
        finally:
            os.close(descriptor)

    def all(self) -> list[Record]:
        """Every record, by reference. Raises ProviderUnavailable when one cannot be read."""
        found = (self.get(path.stem) for path in sorted(self.folder.glob("*.json")))
        return [record for record in found if record is not None]

    def get(self, ref: str) -> Record | None:
        """The record of this reference. Raises ProviderUnavailable when it cannot be read."""
        path = self._path(ref)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Record)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise ProviderUnavailable(
                f"static: {path} cannot be read: {error}",
                hint="It says which run has taken a server. Restore it, or remove it to let the server go.",
            ) from error

    def put(self, record: Record) -> None:
        """Write it, durably, while the folder is held."""
        self._write(f"{record.ref}.json", msgspec.json.format(msgspec.json.encode(record)))

    def remove(self, ref: str) -> None:
        """Forget it, durably; it may be forgotten already."""
        self._path(ref).unlink(missing_ok=True)
        self._sync()

    def _path(self, ref: str) -> Path:
        return self.folder / f"{Path(ref).name}.json"

    def _write(self, name: str, content: bytes) -> None:
        draft = self.folder / ".draft"  # of whoever holds the folder
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        draft.replace(self.folder / name)
        self._sync()

    def _sync(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
