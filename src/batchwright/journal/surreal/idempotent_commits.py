"""Writes that must be made once although an answer may be lost: each leaves its own mark in a record it writes."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from batchwright.errors import StoreUnavailable
from batchwright.journal.surreal.database import AnswerLost, Database, QueryRefused, commit_id

TRIES = 5  # of a write whose answer is lost each time


class IdempotentCommits:
    """The commits of one process to one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._marks = 0
        self._session = secrets.token_hex(8)

    async def once(
        self, name: str, runs: Sequence[str], *, environments: Sequence[list[str]] = (), **values: Any
    ) -> None:
        """A write that must not be made twice. `runs` or `environments` are those that it marks, all or none."""
        mark, lost = self.mark(), False
        for _ in range(TRIES):
            try:
                await self._database.query(name, mark=mark, **values)
                return
            except AnswerLost:
                lost = True
            except QueryRefused:
                if lost and await self._was_made(runs, environments, mark):  # it arrived after we had looked
                    return
                raise
            if await self._was_made(runs, environments, mark):
                return
        raise StoreUnavailable(
            f"{self._database.place} received a request {TRIES} times, but the connection broke before each answer",
            hint="What was recorded is safe. When the connection is stable again: batchwright resume RUN",
        )

    async def _was_made(self, runs: Sequence[str], environments: Sequence[list[str]], mark: str) -> bool:
        return bool(await self._database.query("marked", runs=runs, environments=environments, mark=mark))

    def mark(self) -> str:
        """A unique text for each commit, which tells a damaged log from one that was cut off in its last commit."""
        self._marks += 1
        return commit_id(self._session, self._marks)
