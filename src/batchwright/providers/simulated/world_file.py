"""The changes of a world in a small SQLite file: a log that each process reads to its end before it reads or changes
the world.

The file has to survive a killed process, not a power cut, so it is not synced to disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import msgspec

from batchwright.errors import ProviderUnavailable
from batchwright.providers.simulated.world_records import Change

_APPLICATION = 0x62776B73  # marks the file as a simulated world
_VERSION = 1
_BUSY_SECONDS = 30.0

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Change)


class WorldFile:
    """The log, and how far this process has read it. As a context manager: the turn to change the world."""

    def __init__(self, path: Path, apply: Callable[[Change], None], forget: Callable[[], None]) -> None:
        self._path, self._apply, self._forget = path, apply, forget
        self._read_up_to = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(str(error)) from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._db.close()
            raise self._unusable(str(error)) from error
        except ProviderUnavailable:
            self._db.close()
            raise

    def _prepare(self) -> None:
        new = self._is_new()  # and nothing is written to a file that is something else
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute("PRAGMA journal_mode=WAL")
        if not new:
            return
        self._db.execute("BEGIN IMMEDIATE")
        if self._is_new():  # another process may have been faster
            self._db.execute("CREATE TABLE changes (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)")
            self._db.execute(f"PRAGMA application_id={_APPLICATION}")
            self._db.execute(f"PRAGMA user_version={_VERSION}")
        self._db.execute("COMMIT")

    def _is_new(self) -> bool:
        """Whether the file is empty; raises ProviderUnavailable when it is not a world."""
        outside = not self._db.in_transaction
        if outside:  # what another process writes meanwhile is seen as a whole or not at all
            self._db.execute("BEGIN")
        try:
            tables = self._db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
            names = ("application_id", "user_version")
            marks = tuple(self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
        finally:
            if outside:
                self._db.execute("COMMIT")
        if marks == (0, 0) and not tables:
            return True
        if marks != (_APPLICATION, _VERSION):
            raise self._unusable("it is not a simulated world of this version")
        return False

    def _unusable(self, why: str) -> ProviderUnavailable:
        return ProviderUnavailable(
            f"the simulated world {self._path} cannot be used: {why}",
            hint="Choose another file, or remove this one to start with an empty world.",
        )

    def catch_up(self) -> None:
        """Apply what was written since the last look."""
        try:
            for seq, body in self._db.execute("SELECT seq, body FROM changes WHERE seq > ?", (self._read_up_to,)):
                self._apply(_decoder.decode(body))
                self._read_up_to = seq
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            raise self._unusable(str(error)) from error

    def append(self, change: Change) -> None:
        """Write one change; only inside a turn, where this process has read everything before it."""
        try:
            self._db.execute("INSERT INTO changes VALUES (?, ?)", (self._read_up_to + 1, _encoder.encode(change)))
        except sqlite3.Error as error:
            raise self._unusable(str(error)) from error
        self._read_up_to += 1

    def __enter__(self) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise self._unusable(str(error)) from error
        try:
            self.catch_up()
        except BaseException:
            self._undo()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            try:
                self._db.execute("COMMIT")
            except sqlite3.Error as failed:
                self._undo()
                raise self._unusable(str(failed)) from failed
        else:
            self._undo()

    def _undo(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._forget()  # memory is ahead of the file: read it all again
        self._read_up_to = 0

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._db.close()
