"""Runs in waves, and such as may lose servers, killed before and after every call: the same world in the end."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from batchwright.engine.machine import Machine
from batchwright.journal.replay import load_run
from batchwright.model import events as ev
from batchwright.model.actions import Action, Undo
from batchwright.model.lifecycle import STEP_ENDED, RunState
from batchwright.model.plan import Need, Plan, PlannedOperation, Step
from batchwright.model.run import Run
from batchwright.model.workflow import Dependency, DependencyKind, DependencyScope, OnFailure
from batchwright.operations.approval import HoldRequest
from batchwright.testing.crash_points import CrashingJournal, CrashPoint, When
from batchwright.testing.virtual_clock import run_virtual
from tests.crash.lives import EndState, Lives, live_through
from tests.crash.scenarios import HARD, Scenario, Settings, installs, plan, servers

QUIET: Settings = {"seed": 1, "spread": 0}
SOFT = DependencyKind.SOFT
Part = tuple[PlannedOperation, list[Step]]


def in_waves(part: Part, *sizes: int, following: Sequence[Step] = (), **fields: object) -> Part:
    """The servers in waves of these sizes; a wave ends with the `following` steps on its servers."""
    op, left = part
    steps: list[Step] = []
    gate = ""
    for number, size in enumerate(sizes, 1):
        wave, left = left[:size], left[size:]
        steps += [replace(one, wave=number, needs=(*one.needs, *([Need(gate)] if gate else []))) for one in wave]
        names = {one.id for one in wave}
        before = [*names, *(one.id for one in following if one.server in names)]
        needs = (*(Need(one, SOFT) for one in sorted(before)), *([Need(gate)] if gate else []))
        if left:
            gate, request = f"{op.id}/(wave {number + 1})", HoldRequest(f"wave {number + 1}")
            steps.append(Step(gate, op.id, "", Action.GATE, Undo.NOTHING, request, needs, seconds=0.0, wave=number + 1))
    return replace(op, **fields), steps


def rolling(settings: Settings, **fields: object) -> Plan:
    """Three waves of four servers, each with its services before the next one."""
    up = servers("up", "upcloud", "a", "b", "c", "d")
    op, steps = installs("svc", "upcloud", up[1], "containerd", "redis")
    edge = Dependency("up", per=DependencyScope.SERVER)
    steps = [replace(one, needs=(*one.needs, Need(one.server, SOFT))) for one in steps]
    return plan(
        settings,
        in_waves(up, 1, 2, 1, following=steps, **fields),
        (replace(op, dependencies=(edge,)), steps),
        servers("last", "aws", "e", after=("svc",)),
    )


class ResumedLives(Lives):
    """Lives whose user resumes a run that failed, until it does what it should."""

    async def _work(self, journal: CrashingJournal, point: CrashPoint) -> bool:
        while await super()._work(journal, point):
            run = await load_run(journal, self.run)
            if self.scenario.ends is not RunState.COMPLETED or run.status is RunState.COMPLETED:
                return True
            await self.drive(journal, point, _reopened)
        return False


def _reopened(machine: Machine, now: float) -> list[ev.AnyEvent]:
    return machine.reopen(now, "user", [], [], [])


def scenarios() -> list[Scenario]:
    done, back = RunState.COMPLETED, RunState.ROLLED_BACK
    lost: Settings = {**QUIET, "fail": "b=permanent"}
    some = {"min_success": "75%", "on_failure": OnFailure.STOP}
    once: Settings = {**QUIET, "fail": "b=invalid:1,c=invalid:1"}
    # one is refused as too fast, one loses its answer, and one finds the quota used up, all in one wave
    full: Settings = {**QUIET, "fail": "b=throttle:2,c=lost_answers:1,d=quota"}
    wave = in_waves(servers("up", "upcloud", "a", "b", "c", "d", "e", "f"), 1, 4, 1, min_success="1")
    both = in_waves(servers("up", "upcloud", "a", "b", "c", "d"), 1, 3, **some)
    return [
        Scenario("waves", rolling(QUIET), QUIET, done),
        Scenario("waves-hostile", rolling(HARD), HARD, done),
        Scenario("waves-rollback", rolling(QUIET), QUIET, back, rollback=True),
        Scenario("degraded", rolling(lost, **some), lost, done),
        # a refusal that a dying process took with it is forgotten: then only one server is lost, which is enough
        Scenario("min-success-resumed", plan(once, both), once, done, races=True),
        Scenario("min-success-quota", plan(full, wave), full, done, races=True),
    ]


SCENARIOS = {scenario.name: scenario for scenario in scenarios()}


async def live(scenario: Scenario, *points: CrashPoint) -> tuple[EndState, int, Run, list[ev.AnyEvent]]:
    lives = ResumedLives(scenario)
    outcome, processes = await live_through(scenario, *points, lives=lives)
    history = [event for _, event in await lives.journal.read("run")]
    return outcome, processes, await load_run(lives.journal, "run"), history


@pytest.mark.parametrize("every", [17, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", SCENARIOS)
def test_waves_come_to_the_same_end_wherever_the_process_dies(
    name: str, every: int, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario, point = SCENARIOS[name], CrashPoint()
    wanted, _, run, history = run_virtual(live(scenario, point))
    assert wanted.status is scenario.ends
    _check(scenario, run, history, "undisturbed")
    explored = 0
    for when in When:
        for n in range(1 + 4 * (when is When.AFTER), point.count + 1, every):
            where = CrashPoint(n, when)
            outcome, _, run, history = run_virtual(live(scenario, where))
            assert outcome.status is scenario.ends, where
            assert (outcome.duplicates, outcome.orphans, outcome.environment) == ([], [], []), where
            assert scenario.races or outcome.installed == wanted.installed, where
            _check(scenario, run, history, str(where))
            explored += 1
    with capsys.disabled():
        print(f"\n{name}: {explored} crash points of {2 * point.count}, always {scenario.ends}")


def _check(scenario: Scenario, run: Run, history: Sequence[ev.AnyEvent], where: str) -> None:
    """No step of a wave starts while one of the wave before, or what follows it, has not ended."""
    seen = Run(run.created)
    for event in history[1:]:
        if isinstance(event, ev.StepStarted):
            step = scenario.plan.steps[seen.index[event.step]]
            for need in step.needs:
                gate = scenario.plan.steps[seen.index[need.step]]
                before = [seen.record(one.step).state for one in gate.needs if gate.traits.holds]
                assert all(state in STEP_ENDED for state in before), where
        seen.apply(event)
    lost = [step.id for step, one in zip(run.plan.steps, run.records, strict=True) if one.fault and not one.ref]
    some = any(step.startswith("up/") for step in lost) and scenario.ends is RunState.COMPLETED
    assert run.degraded == (("up",) if some else ()), where
