"""All stores of a state folder. Each run is in the store that its file names; reads cover all that exist."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from batchwright.app import unwritable_store_copy
from batchwright.app.backing_services import PostgresConfig, SurrealConfig
from batchwright.app.settings import Settings
from batchwright.durable_files import FolderHeld, alone
from batchwright.errors import (
    EnvironmentElsewhere,
    RunAmbiguous,
    RunMoved,
    RunNotFound,
    StoreError,
    StorePackageMissing,
    StoreUnavailable,
)
from batchwright.journal.base import Journal
from batchwright.journal.sqlite import SqliteJournal, sqlite_mark
from batchwright.journal.store_folder import make_private
from batchwright.model.clock import Clock
from batchwright.model.environment import EnvironmentKey
from batchwright.model.environment_selector import (
    LATEST,
    environment_named,
    environments_named,
    full_name,
    newest_turn,
    refuse_latest,
    run_not_found,
)
from batchwright.model.ids import RUN_ID_LENGTH
from batchwright.model.run_summary import RunSummary
from batchwright.secret_resolver import reveal

FOLDERS = ("filesystem", "surrealdb")  # those in the state folder
SHARED = ("surrealdb-server", "postgres")  # those that other machines use, too
STORES = (*FOLDERS, *SHARED)
LOCK_PAUSE, LOCK_TRIES = 0.05, 600  # seconds between two tries to be the one that begins an environment


class Stores:
    """Opens stores on first use and closes those it opened.

    A run's summary names the store that has the run. What another store still holds of it, after a move or during a
    copy, is ignored.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open: dict[str, Journal] = {}
        self.troubles: dict[str, StoreError] = {}  # stores that exist and could not be opened
        self._opening = asyncio.Lock()
        self._copy: TemporaryDirectory[str] | None = None  # what is looked at where the state folder cannot be written

    async def __aenter__(self) -> Stores:
        return self

    async def __aexit__(self, *_: object) -> None:
        for journal in self._open.values():
            await journal.aclose()
        self._open.clear()
        if self._copy is not None:
            self._copy.cleanup()
            self._copy = None

    @property
    def is_copy(self) -> bool:
        """Whether the state folder is not writable, so that a copy of it is read."""
        return self._copy is not None

    @property
    def opened(self) -> list[Journal]:
        """The stores that are open now."""
        return list(self._open.values())

    def name_of(self, backend: str) -> str:
        """The store for new runs of this storage_backend: the server if one is configured."""
        server = backend == "surrealdb" and self._settings.surrealdb is not None
        return "surrealdb-server" if server else backend

    async def get(self, name: str, *, behind: bool = False) -> Journal:
        """The store of this name, opened. `behind`: also if it has lost events, for inspection only.

        Raises StoreError, SecretMissing.
        """
        async with self._opening:
            if name not in self._open:
                journal = await asyncio.to_thread(self._make, name)
                await journal.open(behind=behind)
                self._open[name] = journal
            return self._open[name]

    def _make(self, name: str) -> Journal:
        settings, here = self._settings, self._settings.state_dir
        if name in FOLDERS and unwritable_store_copy.is_read_only(here):
            self._copy = self._copy or unwritable_store_copy.copied(here)
            return unwritable_store_copy.read_only(
                _embedded(msgspec.structs.replace(settings, state_dir=Path(self._copy.name)), name), here
            )
        match name:
            case "filesystem" | "surrealdb":
                return _embedded(settings, name)
            case "surrealdb-server" if self._settings.surrealdb is not None:
                return _server(self._settings.surrealdb, self._settings.state_dir)
            case "surrealdb-server":
                raise StoreUnavailable(
                    "no SurrealDB server is configured",
                    hint="Set one in BATCHWRIGHT_SURREALDB_URL or config.toml; docs/stores.md says how.",
                )
            case "postgres" if self._settings.postgres is not None:
                return _postgres(self._settings.postgres, self._settings.state_dir)
            case "postgres":
                raise StoreUnavailable(
                    "no PostgreSQL database is configured",
                    hint="Set one in BATCHWRIGHT_POSTGRES_URL or config.toml; docs/stores.md says how.",
                )
        raise StoreUnavailable(f"there is no store {name!r}", hint=f"Known: {', '.join(STORES)}.")

    def existing_names(self) -> list[str]:
        """The names of all stores with content, as far as known without opening them. Raises StoreUnavailable."""
        folder = self._settings.state_dir
        if folder.exists() and not folder.is_dir():
            raise StoreUnavailable(f"{folder} is not a folder", hint="Choose another state folder with --state-dir.")
        there = {
            "filesystem": self._settings.journal_file.exists() or sqlite_mark(self._settings.journal_file).exists(),
            "surrealdb": self._settings.surreal_folder.exists(),
            "surrealdb-server": self._settings.surrealdb is not None,
            "postgres": self._settings.postgres is not None,
        }
        return [name for name in STORES if there[name]]

    async def existing(self) -> list[Journal]:
        """All stores with content, opened; none is created. Raises StoreError if one cannot be opened."""
        return [await self.get(name) for name in self.existing_names()]

    async def readable(self) -> list[Journal]:
        """The stores that can be opened; the others are in `troubles`. For display only, not for decisions.

        Raises StoreError if none can be opened.
        """
        self.troubles.clear()
        found: list[Journal] = []
        for name in self.existing_names():
            try:
                found.append(await self.get(name))
            except StoreError as error:
                self.troubles[name] = error
        if self.troubles and not found:
            raise next(iter(self.troubles.values()))
        return found

    async def _reachable(self) -> list[Journal]:
        try:
            journals = await self.existing()
        except StoreError:
            return await self.readable()
        self.troubles.clear()
        return journals

    async def summaries(self, *, partial: bool = False) -> list[RunSummary]:
        """The summaries of all runs, newest first. `partial`: only of readable stores; the others are in `troubles`."""
        rows: list[RunSummary] = []
        for journal in await self._reachable():
            try:
                rows += [row for row in await journal.summaries() if _lives(row, journal)]
            except StoreError as error:
                self.troubles[journal.name] = error
        if not partial or (self.troubles and len(self.troubles) == len(self.existing_names())):
            self.refuse_partial()
        rows.sort(key=attrgetter("run"))  # equal times keep this order; a key of both is slow
        rows.sort(key=attrgetter("created_at"), reverse=True)
        return rows

    def refuse_partial(self, word: str = "") -> None:
        """Raise the StoreError of a store that could not be read and may hold a run whose id starts with `word`.

        If the mark beside such a store lists its runs, only those count.
        """
        for name, error in self.troubles.items():
            if self._may_hold(name, word):
                raise error

    def _may_hold(self, name: str, word: str) -> bool:
        if name == "filesystem":
            mark = sqlite_mark(self._settings.journal_file)
        elif name == "surrealdb":
            from batchwright.journal.surreal import surreal_mark

            mark = surreal_mark(self._settings.surreal_folder)
        else:
            return True
        if not mark.exists():
            return True
        try:
            return any(run.startswith(word) for run in mark.entries())
        except StoreError:
            return True
        finally:
            mark.close()

    async def summary(self, run: str) -> RunSummary | None:
        """The summary of the run with this full id, or None. Raises StoreError if an unreadable store may hold it."""
        for journal in await self._reachable():
            try:
                row = await journal.summary(run)
            except RunNotFound:
                continue
            if _lives(row, journal):
                return row
        self.refuse_partial(run)
        return None

    async def find(self, word: str, *, destroys: bool = False) -> tuple[Journal, str]:
        """The run whose id starts with `word`, the newest run of the environment of that name, or the `latest`.

        Raises RunNotFound, RunAmbiguous, RunMoved, EnvironmentNotFound, EnvironmentAmbiguous, LatestAmbiguous if
        `destroys`, and the StoreError of a store that could not be read if the run may be in it.
        """
        own = word.lower()
        if len(own) == RUN_ID_LENGTH:
            for journal in await self._reachable():
                try:
                    row = await journal.summary(own)
                except RunNotFound:
                    continue
                if _lives(row, journal):
                    return journal, row.run
        rows = await self.summaries(partial=True)
        row = self._latest(rows, destroys=destroys) if own == LATEST else await self._matching(rows, word)
        return await self.get(row.store), row.run

    def _latest(self, rows: list[RunSummary], *, destroys: bool) -> RunSummary:
        self.refuse_partial()
        if not rows:
            raise RunNotFound(f"there are no runs yet in {self._settings.state_dir}")
        if destroys:
            refuse_latest({row.environment_key for row in rows})
        return rows[0]

    async def _matching(self, rows: list[RunSummary], word: str) -> RunSummary:
        own = word.lower()
        self.refuse_partial(own)
        matches = [row for row in rows if own and row.run.startswith(own)]
        known = {row.environment_key for row in rows}
        environments = environments_named(word, known)
        if not matches and not environments:
            self.refuse_partial()
            await self._tell_moved(own)
            raise run_not_found(word, known)
        if matches and environments:
            names = ", ".join([f"run {row.run}" for row in matches[:5]] + [full_name(key) for key in environments])
            raise RunAmbiguous(
                f"{word} is the start of a run's id and the name of an environment: {names}",
                hint=f"Write {full_name(environments[0])} for the environment, or more characters of the id.",
            )
        if len(matches) > 1:
            few = ", ".join(row.run for row in matches[:5])
            raise RunAmbiguous(f"{len(matches)} runs' ids start with {word!r}: {few}")
        if matches:
            return matches[0]
        key = environment_named(word, known)
        return newest_turn([row for row in rows if row.environment_key == key])

    async def _tell_moved(self, word: str) -> None:
        """Raise RunMoved for a run that lives in a store that is not here, or that was left on its way there."""
        for journal in await self._reachable():
            try:
                rows = await journal.summaries()
            except StoreError:
                continue  # a store that cannot be read does not hold it: `refuse_partial` has checked
            for row in rows:
                if word and row.run.startswith(word) and row.store in STORES:
                    if row.store in self.existing_names():
                        word = full_name(row.environment_key) if row.turn else row.run
                        again = f"batchwright store migrate --from {journal.name} --to {row.store} {word}"
                        raise RunMoved(
                            f"run {row.run} was being moved to the store {row.store}", hint=f"Finish it with: {again}"
                        )
                    raise RunMoved(f"run {row.run} is in the store {row.store}, which is not configured here")


async def refuse_elsewhere(stores: Stores, home: Journal, key: EnvironmentKey) -> None:
    """Raise EnvironmentElsewhere if another store of this state folder has the environment.

    A store that cannot be read is left out: a broken one does not keep anybody from the others.
    """
    for journal in await stores.readable():
        if journal.name != home.name and (row := await journal.environment(key)) is not None:
            place = row.home(journal.name)
            raise EnvironmentElsewhere(
                f"the environment {key.name} lives in the store {place}",
                hint=f"Move it: batchwright store migrate --from {place} --to {home.name} {key.name}",
            )


@asynccontextmanager
async def first_creation(folder: Path, clock: Clock) -> AsyncIterator[None]:
    """Alone in a state folder with what begins an environment: two of its stores have no transaction in common.

    Raises StoreUnavailable if another process takes too long.
    """
    place = folder / "environments"
    make_private(place)
    for _ in range(LOCK_TRIES):
        with ExitStack() as held:
            try:
                held.enter_context(alone(place, 0))
            except FolderHeld:
                await clock.sleep(LOCK_PAUSE)
                continue
            yield
            return
    raise StoreUnavailable(f"another process has held {place} for {LOCK_TRIES * LOCK_PAUSE:.0f} seconds")


def _embedded(settings: Settings, name: str) -> Journal:
    if name == "filesystem":
        return SqliteJournal(settings.journal_file)
    from batchwright.journal.surreal import SurrealJournal  # here, as most commands need none of its modules

    return SurrealJournal(settings.surreal_folder)


def _lives(row: RunSummary, journal: Journal) -> bool:
    return row.store == journal.name


def _server(config: SurrealConfig, state_dir: Path) -> Journal:
    from batchwright.journal.surreal import ServerAddress, SurrealServerJournal

    password = None if config.password is None else functools.partial(reveal, config.password, os.environ)
    about = config.url, config.namespace, config.database, config.user, password, config.auth_level
    return SurrealServerJournal(ServerAddress(*about), state_dir)


def _postgres(config: PostgresConfig, state_dir: Path) -> Journal:
    try:
        from batchwright.journal.postgres import PostgresAddress
        from batchwright.journal.postgres.journal import PostgresJournal
    except ImportError as error:
        raise StorePackageMissing(
            'storage_backend "postgres" needs a package that is not installed',
            hint="pip install 'batchwright[postgres]'",
        ) from error
    password = None if config.password is None else functools.partial(reveal, config.password, os.environ)
    tls = config.sslmode, config.sslrootcert, config.sslcert, config.sslkey
    return PostgresJournal(PostgresAddress(config.url, password, config.schema, *tls), state_dir)
