"""Read-only use cases: every environment, and one environment with all that it has."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import Struct
from msgspec.structs import replace

from batchwright.app.borrowed_servers import users_and_owners
from batchwright.app.multi_store import Stores
from batchwright.app.recorded_servers import resources_now
from batchwright.engine.machine import Machine
from batchwright.errors import NotAllowed, StoreError
from batchwright.journal.base import Journal
from batchwright.journal.environment_state import EnvironmentState, environment_state
from batchwright.journal.lease_holder import driver_of, process_of
from batchwright.journal.replay import load_run
from batchwright.model.clock import Clock
from batchwright.model.environment import REAL, SIMULATED, Environment, EnvironmentKey, Resource
from batchwright.model.environment_fold import FOLD
from batchwright.model.environment_selector import environment_named, full_name, newest_turn
from batchwright.model.lifecycle import RUN_ENDED
from batchwright.model.plan import Plan
from batchwright.model.run_summary import RunSummary
from batchwright.views.environment import EnvironmentLine, EnvironmentView, environment_line, environment_view

ROLLBACKS_MAX = 5  # runs of an environment that are shown as the next to be rolled back


class EnvironmentHome(Struct, frozen=True):
    """An environment, the store it is in, and the plan of its newest run, which says how it is reached."""

    journal: Journal
    state: EnvironmentState
    plan: Plan


async def find_home(stores: Stores, name: str, *, simulated: bool | None) -> EnvironmentHome:
    """The environment of this name; `simulated` is None if either space will do, or the name says in which it is.

    Raises EnvironmentNotFound, EnvironmentAmbiguous.
    """
    homes: dict[EnvironmentKey, tuple[Journal, str]] = {}
    for journal in await stores.existing():
        for row in await journal.environments():
            if row.key not in homes or not row.store:  # another store's row only says where it went
                homes[row.key] = journal, row.last
    word = (
        name if simulated is None or ":" in name else full_name(EnvironmentKey(SIMULATED if simulated else REAL, name))
    )
    key = environment_named(word, homes)
    journal, last = homes[key]
    return EnvironmentHome(journal, await environment_state(journal, key), (await load_run(journal, last)).plan)


async def all_environments(stores: Stores, clock: Clock) -> tuple[EnvironmentLine, ...]:
    """Every environment of the stores that can be read, by name; the others are in `Stores.troubles`.

    One that is being moved is in the store it comes from until the move is complete.
    """
    rows: dict[str, list[Environment]] = {}
    for journal in await stores.readable():
        try:
            rows[journal.name] = await journal.environments()
        except StoreError as error:
            stores.troubles[journal.name] = error
    moving = {(row.home(""), row.key) for own in rows.values() for row in own if row.is_copy}
    lines: list[EnvironmentLine] = []
    for name, own in rows.items():
        try:
            lines += await _lines(await stores.get(name), clock, own, {key for home, key in moving if home == name})
        except StoreError as error:
            stores.troubles[name] = error
    if len(stores.troubles) == len(stores.existing_names()):
        stores.refuse_partial()
    return tuple(sorted(lines, key=lambda line: (line.name, line.simulated, line.store)))


async def _lines(
    journal: Journal, clock: Clock, rows: Sequence[Environment], moving: Collection[EnvironmentKey]
) -> list[EnvironmentLine]:
    """The lines of a store. `moving` are the environments on their way from it to another one."""
    had: dict[EnvironmentKey, list[Resource]] = {}
    for key, one in await journal.all_resources():
        had.setdefault(key, []).append(one)
    newest = await _newest_runs(journal, rows)
    known = {row.key: row for row in rows}
    lines: list[EnvironmentLine] = []
    for key, last in newest.items():
        row = known.get(key)
        if last.store != journal.name and key not in moving:
            continue  # it has moved, or an incomplete copy of it is here
        counted = row is not None and row.fold in (0, FOLD)
        resources = had.get(key, ()) if counted else None
        at_home = replace(last, store=journal.name)
        lines.append(await _line(journal, clock, row or _before_turns(key, last), at_home, resources))
    return lines


async def _newest_runs(journal: Journal, rows: Sequence[Environment]) -> dict[EnvironmentKey, RunSummary]:
    """The newest run of each environment, also of those that only an older version has changed."""
    last = {row.key: row.last for row in rows if not row.is_copy}
    runs = await journal.newest_runs()
    if not set(last.values()) <= {one.run for one in runs}:
        runs = await journal.summaries()  # a newest run was lost: it is the one before
    found: dict[EnvironmentKey, list[RunSummary]] = {}
    for one in runs:
        found.setdefault(one.environment_key, []).append(one)
    return {key: newest_turn(own) for key, own in found.items()}


async def _line(
    journal: Journal, clock: Clock, row: Environment, last: RunSummary, resources: Sequence[Resource] | None
) -> EnvironmentLine:
    driver = driver_of(await journal.held(row.tenant), clock.now()) if row.tenant else None
    return environment_line(row, last, process_of(driver) if driver else "", resources)


def _before_turns(key: EnvironmentKey, last: RunSummary) -> Environment:
    """The row of an environment that only an older version has changed."""
    ended = last.status in RUN_ENDED and not last.rollback_due
    return Environment(key.space, key.name, tenant="" if ended else last.run, since=last.created_at, last=last.run)


async def read_environment(stores: Stores, clock: Clock, word: str) -> EnvironmentView:
    """What the environment of this name has now.

    Raises EnvironmentNotFound, EnvironmentAmbiguous, and the StoreError of a store that cannot be read if the
    environment may be in it.
    """
    rows = await stores.summaries(partial=True)
    known = {row.environment_key for row in rows}
    if not known:
        stores.refuse_partial()
    key = environment_named(word, known)
    own = [row for row in rows if row.environment_key == key]
    last = newest_turn(own)
    journal = await stores.get(last.store)
    state = await environment_state(journal, key, None)
    row, resources = state.row or _before_turns(key, last), await resources_now(journal, key)
    line = await _line(journal, clock, row, last, tuple(resources.values()))
    undoable = [] if row.tenant else await _rollbacks(journal, state.newest, own, clock.now())
    shared = await users_and_owners(journal, key, resources.values())
    return environment_view(line, resources.values(), undoable, *shared)


async def _rollbacks(journal: Journal, newest: str, own: Sequence[RunSummary], now: float) -> list[RunSummary]:
    """The runs that can be rolled back one after another: the newest that changed something, then the one before.

    A run that cannot be rolled back keeps those below it as they are.
    """
    by_id = {row.run: row for row in own}
    found: list[RunSummary] = []
    while newest in by_id and not by_id[newest].archive and len(found) < ROLLBACKS_MAX:
        run = await load_run(journal, newest)
        try:
            Machine(run).rollback(now, "")
        except NotAllowed:
            break
        found.append(by_id[newest])
        newest = run.created.after
    return found
