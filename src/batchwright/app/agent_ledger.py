"""What asking has used: answers and their tokens, and what a language model was sent and gave, by day, role and run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchwright import durable_files
from batchwright.errors import StoreError

FOLDER, FILE = "agent-usage", "usage.json"
ROWS_MOST = 2_000  # then the runs of days before today are no longer told apart
DAYS_MOST = 366


class AgentUsage(Struct, frozen=True):
    """One day, role and run. `answers` and `tokens` are computed ones; `calls`, `sent`, `received` are a model's.

    `run` is what was asked about, "" for several, of a day that is past.
    """

    day: str
    role: str
    run: str
    answers: int = 0
    tokens: int = 0
    calls: int = 0
    sent: int = 0
    received: int = 0

    def plus(self, other: AgentUsage) -> AgentUsage:
        """The sum of both, under this one's names."""
        return replace(
            self,
            answers=self.answers + other.answers,
            tokens=self.tokens + other.tokens,
            calls=self.calls + other.calls,
            sent=self.sent + other.sent,
            received=self.received + other.received,
        )


def day_of(now: float) -> str:
    """The day of a time in seconds since the epoch, in UTC."""
    return datetime.fromtimestamp(now, UTC).date().isoformat()


class AgentLedger:
    """The ledger of a state folder, changed by one process at a time. Every method raises StoreError."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / FOLDER

    def rows(self) -> list[AgentUsage]:
        """All rows, the newest day first."""
        try:
            content = (self._folder / FILE).read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"cannot read {self._folder / FILE}: {error.strerror}") from error
        try:
            return msgspec.json.decode(content, type=list[AgentUsage])
        except msgspec.MsgspecError as error:
            hint = "Move it away; counting then begins anew."
            raise StoreError(f"{self._folder / FILE} is damaged: {error}", hint=hint) from error

    def add(self, used: AgentUsage) -> None:
        """Count this."""
        with self._held():
            self._write([used, *self.rows()])

    def reserve(self, used: AgentUsage, daily_calls: int, daily_tokens: int) -> bool:
        """Count a call before it is made, if the day's caps allow it; gives whether they do."""
        with self._held():
            rows = self.rows()
            today = [one for one in rows if one.day == used.day]
            calls = sum(one.calls for one in today) + used.calls
            tokens = sum(one.sent + one.received for one in today) + used.sent + used.received
            if calls > daily_calls or tokens > daily_tokens:
                return False
            self._write([used, *rows])
            return True

    @contextmanager
    def _held(self) -> Iterator[None]:
        try:
            durable_files.make_private(self._folder)
            with durable_files.alone(self._folder):
                yield
        except (OSError, durable_files.FolderHeld) as error:
            raise StoreError(f"cannot write to {self._folder}: {error}") from error

    def _write(self, rows: list[AgentUsage]) -> None:
        merged = _merged(rows)
        if len(merged) > ROWS_MOST:
            today = max(one.day for one in merged)
            merged = _merged([one if one.day == today else replace(one, run="") for one in merged])
        days = sorted({one.day for one in merged}, reverse=True)[:DAYS_MOST]
        kept = sorted((one for one in merged if one.day in days), key=lambda one: one.day, reverse=True)
        durable_files.write(self._folder / FILE, msgspec.json.encode(kept))


def _merged(rows: list[AgentUsage]) -> list[AgentUsage]:
    found: dict[tuple[str, str, str], AgentUsage] = {}
    for one in rows:
        key = (one.day, one.role, one.run)
        found[key] = found[key].plus(one) if key in found else one
    return list(found.values())
