"""What an environment has, as a store knows it, and whether a plan still fits it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from batchwright.errors import (
    EnvironmentBusy,
    EnvironmentMoved,
    RunNotFound,
    StoreError,
    StoreFull,
    StoreHeld,
    StoreReadOnly,
)
from batchwright.journal.base import Journal
from batchwright.journal.replay import load_run, load_turns
from batchwright.model.environment import (
    REAL,
    SIMULATED,
    Enter,
    Environment,
    EnvironmentKey,
    Resource,
    digest,
    refuse_moved,
)
from batchwright.model.environment_fold import FOLD, rebuilt, turn_changes
from batchwright.model.lifecycle import RUN_ENDED, RunState
from batchwright.model.plan import Plan
from batchwright.model.run import Run
from batchwright.model.run_summary import RunSummary
from batchwright.model.workflow import Workflow


class EnvironmentState(Struct, frozen=True):
    """An environment as a store has it. `row` is None if no run has entered it yet.

    `resources` are what it had when its newest finished turn ended, or what runs older than environments left;
    `newest` is the newest run that changed something.
    """

    key: EnvironmentKey
    row: Environment | None
    resources: tuple[Resource, ...] = ()
    newest: str = ""

    @property
    def turn(self) -> int:
        """The number of its newest turn."""
        return self.row.turn if self.row is not None else 0

    def enter(self, run: str, at: float) -> Enter:
        """The first turn of a new run."""
        enter = Enter(self.key, run, at, self.turn, self.newest)
        if self.row is None:
            return replace(enter, resources=self.resources, newest=self.newest)
        return replace(enter, lent=self.row.lent)


def environment_key(workflow: Workflow, *, simulated: bool) -> EnvironmentKey:
    """The environment that a workflow's runs change."""
    return EnvironmentKey(SIMULATED if simulated else REAL, workflow.environment_name)


async def environment_state(journal: Journal, key: EnvironmentKey, own: str | None = "") -> EnvironmentState:
    """What a store knows of an environment.

    Raises EnvironmentElsewhere if it lives in another store, and EnvironmentBusy if a run older than environments, and
    not `own`, has not ended; with `own` None for neither, as nothing is decided by it.
    """
    row = await journal.environment(key)
    if row is None:
        return await _before_turns(journal, key, own)
    if own is not None:
        refuse_moved(row)
    if (row.through or row.base_digest) and row.fold != FOLD:
        return await _folded_again(journal, row)
    return EnvironmentState(key, row, tuple(await journal.resources(key)), row.newest)


async def _folded_again(journal: Journal, row: Environment) -> EnvironmentState:
    """What its runs add up to by this version's fold, which the store has from now on if it can be written."""
    resources = (await _history(journal, row, await runs_of(journal, row.key))).rebuilt(row.through)
    now = replace(row, fold=FOLD)
    state = EnvironmentState(row.key, now, tuple(resources[key] for key in sorted(resources)), row.newest)
    try:
        await journal.write_environment(row, now, state.resources)
    except (EnvironmentMoved, StoreFull, StoreHeld, StoreReadOnly):
        return replace(state, row=row)  # it holds all the same, and the next reader writes it
    return state


class _History(Struct, frozen=True):
    """The turns of the runs that the store has whole, and what they follow if others were archived.

    Each turn is its run as that was when the turn ended.
    """

    turns: list[Run]
    archived: list[RunSummary]
    base: list[Resource]
    after: int

    def rebuilt(self, through: float = math.inf) -> dict[str, Resource]:
        """What they add up to."""
        return rebuilt(self.turns, through, self.base, self.after)


async def _history(journal: Journal, row: Environment, lines: Sequence[RunSummary]) -> _History:
    """What resources are folded from, given the environment's runs: the base counts only while a run is archived."""
    turns = [turn for one in lines if not one.archive for turn in await load_turns(journal, one.run)]
    archived = [one for one in lines if one.archive]
    base = await journal.base_resources(row.key) if archived else []
    return _History(turns, archived, base, row.base if archived else -1)


async def _before_turns(journal: Journal, key: EnvironmentKey, own: str | None) -> EnvironmentState:
    """What the runs of this workflow left that were made before there were environments."""
    resources: dict[str, Resource] = {}
    newest = ""
    for one in await runs_of(journal, key):
        if own is not None and (one.status not in RUN_ENDED or one.rollback_due) and one.run != own:
            raise EnvironmentBusy(
                f"run {one.run} of {key.name} has not ended, and was made before there were environments", run=one.run
            )
        change = turn_changes(resources, await load_run(journal, one.run), 0)
        resources = change.resources
        if change.contributed and one.status is not RunState.ROLLED_BACK:
            newest = one.run
    return EnvironmentState(key, None, tuple(resources.values()), newest)


async def runs_of(journal: Journal, key: EnvironmentKey) -> list[RunSummary]:
    """The runs of an environment that live in this store, oldest first."""
    return (await _runs_by_environment(journal)).get(key, [])


async def _runs_by_environment(journal: Journal) -> dict[EnvironmentKey, list[RunSummary]]:
    found: dict[EnvironmentKey, list[RunSummary]] = {}
    for one in sorted(await journal.summaries(), key=lambda one: (one.created_at, one.run)):
        if one.store == journal.name:
            found.setdefault(one.environment_key, []).append(one)
    return found


async def environment_of_run(journal: Journal, run: str) -> EnvironmentKey | None:
    """The environment of a run; None if the store does not know the run."""
    try:
        return (await journal.summary(run)).environment_key
    except RunNotFound:
        return None


def refuse_changed(plan: Plan, state: EnvironmentState) -> None:
    """Raise EnvironmentMoved if the plan was made against something else than what the environment has now."""
    if digest(state.resources) != plan.base:
        last = state.row.last if state.row is not None else ""
        message = f"run {last} has changed the environment {state.key.name} since this was planned"
        raise EnvironmentMoved(message, run=last)


async def environment_problems(journal: Journal) -> list[str]:
    """What is wrong with the environments of a store: each must be what its runs add up to."""
    try:
        rows = [row for row in await journal.environments() if not row.store]
        runs = await _runs_by_environment(journal)  # once: reading them for each environment would be quadratic
        found = [await _problem(journal, row, runs.get(row.key, [])) for row in rows]
    except StoreError as error:
        return [error.message]
    return [problem for problem in found if problem]


async def _problem(journal: Journal, row: Environment, lines: Sequence[RunSummary]) -> str:
    history = await _history(journal, row, lines)
    runs = {run.id: run for run in history.turns}.values()  # as they are now
    archived = history.archived
    tenants = [run.id for run in runs if run.holds_environment]
    if tenants != ([row.tenant] if row.tenant else []):
        return (
            f"the environment {row.name} should be held by {', '.join(tenants) or 'no run'}, not {row.tenant or 'none'}"
        )
    if archived and not (row.base_digest and max(one.turn for one in archived) <= row.base):
        return f"runs of the environment {row.name} were archived that are not in what it had at turn {row.base}"
    if row.turn != max([0, *(run.turn for run in runs), *(one.turn for one in archived)]):
        return f"the environment {row.name} counts {row.turn} turns, which its runs do not"
    if row.tenant or row.fold != FOLD:
        return ""  # changed at this moment, or to be rebuilt by whoever reads it next
    kept = {one.key: one for one in await journal.resources(row.key)}
    words = f"the resources of the environment {row.name} are not what its runs add up to"
    return "" if kept == history.rebuilt() else words
