"""What there is when all processes have ended, and what must then be so wherever they died."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from msgspec import Struct

from batchwright.journal.environment_state import environment_problems
from batchwright.model import events as ev
from batchwright.model.actions import Action
from batchwright.model.environment import EnvironmentKey, Resource
from batchwright.model.lifecycle import RunState, StepState
from batchwright.operations.command import CommandRequest

if TYPE_CHECKING:
    from tests.crash.environment_lives import EnvironmentLives

LONG_AFTER = 10_000.0  # seconds after which every late commit and every destroy has happened


class End(Struct, frozen=True):
    """What there is long after, without what depends on when something was done."""

    runs: tuple[tuple[str, RunState], ...]
    resources: tuple[object, ...]
    servers: Counter[object]
    keys: frozenset[str]


async def the_end(lives: EnvironmentLives) -> End:
    """What is left; raises AssertionError if an invariant does not hold."""
    await lives.clock.sleep(LONG_AFTER)
    assert lives.faults == [], lives.faults
    rows = await _check_rows(lives)
    now = lives.clock.now()
    alive = [one for one in lives.world.servers(now) if one.ref not in lives.bystanders]
    assert lives.bystanders <= {one.ref for one in lives.world.servers(now)}, "what is nobody's business was destroyed"
    places = [(one.provider, one.ref) for one in rows if one.is_own_server and one.ref not in lives.bystanders]
    own = {(one.provider, one.ref) for one in alive}
    assert own == set(places), f"it has {sorted(set(places))}, and there is {sorted(own)}"
    await _check_destroys(lives)
    await _check_undos(lives)
    for provider, run in lives.keys:
        assert any((one.provider, one.run) == (provider, run) for one in alive), f"the key of {run} is left"
    return End(
        tuple((run.id, run.status) for run in await lives.all_runs()),
        tuple(sorted(map(timeless, rows), key=str)),
        Counter(
            (
                one.provider,
                one.name,
                one.request.plan,
                str(one.request.labels),
                str(lives.world.installed_on(one.ref)),
            )
            for one in alive
        ),
        frozenset(run for _, run in lives.keys),
    )


async def _check_rows(lives: EnvironmentLives) -> list[Resource]:
    """I1: nobody's turn is left, and none is missing. I2: what is kept is what the runs add up to."""
    assert await environment_problems(lives.journal) == []
    turns: dict[EnvironmentKey, list[int]] = {}
    for events in (await lives.histories()).values():
        assert isinstance(events[0], ev.RunCreated)
        begun = [getattr(event, "turn", 0) for event in events]
        turns.setdefault(EnvironmentKey.of(events[0].plan), []).extend(one for one in begun if one)
    found = []
    for row in await lives.journal.environments():
        assert (row.tenant, row.unsettled, row.through) == ("", "", row.turn), row
        assert sorted(turns[row.key]) == list(range(1, row.turn + 1))
        found += await lives.journal.resources(row.key)
    standing = {one.ref for one in lives.world.servers()}
    assert all(one.ref in standing for one in found if one.borrowed), "a borrowed server is gone"
    return [one for one in found if not one.borrowed]


async def _check_destroys(lives: EnvironmentLives) -> None:
    """I6: a server that was in use is destroyed only by its owner's rollback, or a plan that says so."""
    allowed: set[str] = set()
    for run in await lives.all_runs():
        allowed |= {step.ref for step in run.plan.steps if step.retired is not None}
        if run.status in (RunState.ROLLED_BACK, RunState.ROLLBACK_INCOMPLETE):
            every = (await lives.histories())[run.id]
            made = {step.id for step in run.plan.steps if step.action is Action.CREATE and step.adopts is None}
            allowed |= {e.ref for e in every if isinstance(e, ev.StepSucceeded) and e.step in made}
    standing = {one.ref for one in lives.world.servers()} | lives.by_hand
    gone = {ref for ref in await lives.used() if ref not in standing}
    assert gone <= allowed, f"I6: {gone - allowed}"


async def _check_undos(lives: EnvironmentLives) -> None:
    """Whatever command a run has retired, its undo has run."""
    undone = {call.about for call in lives.world.calls or () if call.method == "undo"}
    for run in await lives.all_runs():
        for step, record in zip(run.plan.steps, run.records, strict=True):
            if isinstance(step.request, CommandRequest) and step.retired and record.state is StepState.SUCCEEDED:
                assert step.id in undone, f"the undo of {step.id} never ran"


def timeless(one: Resource) -> object:
    """A resource without its reference, address and times."""
    return one.key, one.provider, one.run, str(one.request), one.whole, one.made_by, one.borrowed, one.residue
