"""A failure is handled, the run is resumed, and what had failed succeeds: the process dies at every call on the way."""

from __future__ import annotations

from msgspec.structs import replace

from batchwright.model import events as ev
from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.run import Run
from batchwright.model.workflow import Dependency, DependencyKind
from batchwright.testing.crash_points import CrashPoint, When
from batchwright.testing.virtual_clock import run_virtual
from tests.crash.scenarios import Scenario, Settings, plan, servers
from tests.crash.test_waves_killed import Part, live

# each of these is refused once
ONCE: Settings = {"seed": 1, "spread": 0, "fail": "c=invalid:1,e=invalid:1"}


def handles(part: Part) -> Part:
    """Runs only if `deploy` failed."""
    return replace(part[0], dependencies=(Dependency("deploy", DependencyKind.FAILED),)), part[1]


STORY = Scenario(
    "handled",
    plan(
        ONCE,
        servers("deploy", "upcloud", "c"),
        handles(servers("handler", "aws", "d")),
        handles(servers("broken", "aws", "e")),  # it fails too, so that a resume finds it not done
        servers("last", "upcloud", "f", after=("deploy",)),
    ),
    ONCE,
    RunState.COMPLETED,
    races=True,  # a refusal that a dying process took with it is forgotten: then nothing is handled
)


def test_a_handler_that_is_not_wanted_any_more_never_runs_wherever_the_process_dies() -> None:
    _, _, run, history = run_virtual(live(STORY, point := CrashPoint()))
    assert [type(event) for event in history].count(ev.RunReopened) == 1
    assert state(run, "handler/d") is StepState.SUCCEEDED, "it ran, and is not taken back"
    assert state(run, "broken/e") is StepState.NOT_WANTED, "it had failed, and is not tried again"
    for when in When:
        for n in range(1, point.count + 1, 2):
            where = CrashPoint(n, when)
            outcome, _, run, history = run_virtual(live(STORY, where))
            assert outcome.status is RunState.COMPLETED, where
            assert (outcome.duplicates, outcome.orphans, outcome.environment) == ([], [], []), where
            assert state(run, "broken/e") in (StepState.NOT_WANTED, StepState.SUCCEEDED), where
            _check(run.created, history, str(where))


def state(run: Run, step: str) -> StepState:
    return run.record(step).state


def _check(created: ev.RunCreated, history: list[ev.AnyEvent], where: str) -> None:
    """No handler starts unless `deploy` has failed, as far as the run was then, nor `last` unless it succeeded."""
    seen = Run(created)
    for event in history[1:]:
        if isinstance(event, ev.StepStarted) and not event.step.startswith("deploy"):
            wanted = StepState.SUCCEEDED if event.step == "last/f" else StepState.FAILED
            assert state(seen, "deploy/c") is wanted, f"{where}: {event.step}"
        seen.apply(event)
