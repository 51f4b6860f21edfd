"""Moves what is in one store to another: environments as a whole, and runs that belong to none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from msgspec import Struct

from batchwright.app.borrowed_servers import sharing
from batchwright.app.environment_transfer import (
    EnvironmentMigration,
    MovedEnvironment,
    MovedRun,
    move_together,
    pending_runs,
)
from batchwright.app.multi_store import Stores
from batchwright.app.run_transfer import LEFT, RunMigration
from batchwright.errors import EnvironmentElsewhere, RunAmbiguous, RunNotFound, UsageError
from batchwright.journal.base import Journal
from batchwright.model.clock import Clock
from batchwright.model.environment import EnvironmentKey
from batchwright.model.environment_selector import environments_named, full_name
from batchwright.model.run_summary import RunSummary


class _Chosen(Struct):
    """What is to be moved."""

    environments: list[EnvironmentKey]
    runs: list[RunSummary]


async def migrate(
    stores: Stores, clock: Clock, origin: str, destination: str, words: Sequence[str] = ()
) -> AsyncIterator[MovedRun | MovedEnvironment]:
    """Move the environments of these names and the runs whose ids start so, or everything, one after another.

    Raises StoreError, UsageError.
    """
    if origin == destination:
        raise UsageError(f"--from and --to are both {origin}", hint="Name two different stores.")
    if origin not in stores.existing_names():
        raise RunNotFound(f"there is no store {origin} here, so there is nothing to move")
    source, target = await stores.get(origin), await stores.get(destination)
    chosen = await _chosen(source, target, clock, words)
    for group in await sharing(source, await _movable(source, target)):
        wanted = [key for key in group if key in chosen.environments]
        if wanted and wanted != group and words:
            again = f"batchwright store migrate --from {origin} --to {destination} {' '.join(map(full_name, group))}"
            why = f"it shares servers with other environments, so they move together: {again}"
            for key in wanted:
                yield MovedEnvironment(key.space, key.name, left=why)
        elif wanted:
            async for moved in move_together(source, target, clock, wanted):
                yield moved
    for row in chosen.runs:
        try:
            await _refuse_foreign(target, row)
            yield MovedRun(row.run, row.workflow, await RunMigration(source, target, clock, row).make())
        except (*LEFT, EnvironmentElsewhere) as error:
            yield MovedRun(row.run, row.workflow, left=error.message)


async def _chosen(source: Journal, target: Journal, clock: Clock, words: Sequence[str]) -> _Chosen:
    keys = await _movable(source, target)
    pending = await pending_runs(source, target)
    if words:
        return _named(source, target, words, keys, pending)
    environments = [key for key in keys if not await EnvironmentMigration(source, target, clock, key).is_done()]
    return _Chosen(environments, [row for row in pending if row.environment_key not in keys])


async def _movable(source: Journal, target: Journal) -> list[EnvironmentKey]:
    """The environments that live in the source, or are on their way to the target."""
    return [row.key for row in await source.environments() if row.store in ("", target.name)]


def _named(
    source: Journal, target: Journal, words: Sequence[str], keys: Sequence[EnvironmentKey], rows: Sequence[RunSummary]
) -> _Chosen:
    """Raises RunNotFound, RunAmbiguous, and UsageError for a run that only its whole environment can take along."""
    environments: dict[EnvironmentKey, None] = {}
    runs: dict[str, RunSummary] = {}
    for word in words:
        meant = environments_named(word, keys)
        if len(meant) > 1:
            both = " and ".join(full_name(key) for key in meant)
            raise UsageError(f"{word} is the name of two environments: {both}", hint=f"Write {full_name(meant[0])}.")
        if meant:
            environments[meant[0]] = None
            continue
        found = [row for row in rows if word and row.run.startswith(word.lower())]
        if not found:
            raise RunNotFound(
                f"no environment in that store has the name {word!r}, and no run an id that starts with it",
                hint="batchwright list",
            )
        if len(found) > 1:
            raise RunAmbiguous(f"{len(found)} runs' ids start with {word!r}")
        key = found[0].environment_key
        if key in keys:
            raise UsageError(
                f"run {found[0].run} belongs to the environment {key.name}, which is only moved as a whole",
                hint=f"batchwright store migrate --from {source.name} --to {target.name} {full_name(key)}",
            )
        runs[found[0].run] = found[0]
    return _Chosen(list(environments), list(runs.values()))


async def _refuse_foreign(target: Journal, row: RunSummary) -> None:
    """A run older than environments adds to what its environment has: to another's it would add what that never had."""
    key = row.environment_key
    if await target.environment(key) is not None:
        raise EnvironmentElsewhere(f"the store {target.name} has an environment {key.name} that this run is no part of")
