"""The stores of one state folder. Each run lives in the store its file names; reading looks into all that exist."""

from __future__ import annotations

from batchwright.app.settings import Settings
from batchwright.errors import RunAmbiguous, RunNotFound, StoreUnavailable
from batchwright.journal.base import Journal
from batchwright.journal.sqlite import SqliteJournal
from batchwright.journal.surreal import SurrealJournal
from batchwright.model.ids import RUN_ID_LENGTH
from batchwright.model.summary import RunSummary

BACKENDS = ("filesystem", "surrealdb")


class Stores:
    """Opens stores when they are first needed and closes what it opened."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open: dict[str, Journal] = {}

    async def __aenter__(self) -> Stores:
        return self

    async def __aexit__(self, *_: object) -> None:
        for journal in self._open.values():
            await journal.aclose()
        self._open.clear()

    async def get(self, backend: str) -> Journal:
        """The store of this name, opened. Raises StoreError."""
        if backend not in self._open:
            journal = self._make(backend)
            await journal.open()
            self._open[backend] = journal
        return self._open[backend]

    def _make(self, backend: str) -> Journal:
        match backend:
            case "filesystem":
                return SqliteJournal(self._settings.journal_file)
            case "surrealdb":
                return SurrealJournal(self._settings.surreal_folder)
        raise StoreUnavailable(f"there is no store {backend!r}", hint=f"Known: {', '.join(BACKENDS)}.")

    async def existing(self) -> list[Journal]:
        """Every store that holds something; looking creates none."""
        places = {"filesystem": self._settings.journal_file, "surrealdb": self._settings.surreal_folder}
        return [await self.get(name) for name, place in places.items() if place.exists()]

    async def summaries(self) -> list[RunSummary]:
        """Of all runs in all stores, newest first."""
        rows = [row for journal in await self.existing() for row in await journal.summaries()]
        return sorted(rows, key=lambda row: (-row.created_at, row.run))

    async def find(self, word: str) -> tuple[Journal, str]:
        """The run whose id starts with `word`, or the `latest`. Raises RunNotFound, RunAmbiguous."""
        if len(word) == RUN_ID_LENGTH:
            for journal in await self.existing():
                try:
                    return journal, (await journal.summary(word.lower())).run
                except RunNotFound:
                    continue
        rows = await self.summaries()
        if word == "latest":
            matches = rows[:1]
        else:
            matches = [row for row in rows if row.run.startswith(word.lower())] if word else []
            matches = [row for row in matches if row.run == word.lower()] or matches
        if not matches:
            raise RunNotFound("there are no runs yet" if word == "latest" else f"no run's id starts with {word!r}")
        if len(matches) > 1:
            few = ", ".join(row.run for row in matches[:5])
            raise RunAmbiguous(f"{len(matches)} runs' ids start with {word!r}: {few}")
        return await self.get(matches[0].store), matches[0].run
