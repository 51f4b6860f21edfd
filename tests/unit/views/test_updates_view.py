"""What people see of servers that are changed in place, and of their rollback."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.unit.engine.stage import QUICK, plan_of, retires, updates

from batchwright.engine.rollback_preview import UndoKind, preview_rollback
from batchwright.model import events as ev
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import FieldChange, Plan, Step
from batchwright.model.run import Run
from batchwright.operations.registry import type_of
from batchwright.views.run import run_view
from batchwright.views.step_explanation import explain

SIZE = FieldChange("plan", "1xCPU-2GB", "2xCPU-4GB", stops=True, note="the disk keeps its size")
LABELS = FieldChange("labels", "none", "team=x")


def planned(*changes: FieldChange) -> Plan:
    part = updates("big", {"web": "r8"}, plan="2xCPU-4GB", labels={"team": "x"})
    part = part[0], [replace(part[1][0], changes=changes)]
    return plan_of(QUICK, part, retires("(retire up)", {"old": "r9"}, after=["big"]))


def told(*events: ev.AnyEvent) -> tuple[Run, list[ev.AnyEvent]]:
    history = [
        ev.RunCreated(100.0, "run", planned(SIZE, LABELS), "ada"),
        ev.RunStarted(101.0),
        ev.StepStarted(102.0, "big/web", 1, "t"),
        *events,
    ]
    return Run.replay(history), history


def step() -> Step:
    return planned(SIZE, LABELS).steps[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ((SIZE, LABELS), "plan from 1xCPU-2GB to 2xCPU-4GB (it is stopped meanwhile, the disk keeps its size); "
                         "labels from none to team=x"),
        ((LABELS,), "labels from none to team=x"),
        ((), "an earlier run began that and did not finish"),
    ],
)  # fmt: skip
def test_the_plan_says_what_is_changed_and_when_that_interrupts(changes: tuple[FieldChange, ...], words: str) -> None:
    one = planned(*changes).steps[0]
    assert type_of(one).does(one, "") == f"change server web (r8) in place: {words}"
    stopped = " (it is stopped meanwhile)" if SIZE in changes else ""
    assert type_of(one).undoes(one, "") == f"change server web back: plan to 1xCPU-2GB{stopped}; labels to none"


def test_a_change_on_its_way_says_so() -> None:
    run, history = told()
    assert type_of(step()).doing(step(), run.records[0]) == "changing in place, which stops it"
    run, history = told(ev.StepCreated(103.0, "big/web", "r8", changed=True))
    assert type_of(step()).doing(step(), run.records[0]) == "changed, waiting until it is ready"
    chain = [link.text for link in explain(run, history, "big/web", 104.0).chain]
    assert chain[0] == "planned to change an existing server in place, by ada"
    assert chain[-1] == "changed: r8, waiting until it is ready"


DONE = (
    ev.StepSucceeded(104.0, "big/web", "r8", "10.0.0.1"),
    ev.StepStarted(104.0, "(retire up)/old", 1, "u"),
    ev.StepSucceeded(105.0, "(retire up)/old", made=True),
    ev.RunEnded(106.0, RunState.COMPLETED),
)


def test_the_preview_of_a_rollback_says_what_comes_back_and_what_is_gone() -> None:
    run, _ = told(*DONE)
    back, gone = preview_rollback(run)
    assert (back.what, back.ref) == (
        UndoKind.RESTORE,
        "r8: plan to 1xCPU-2GB (it is stopped meanwhile); labels to none",
    )
    assert (gone.step, gone.what, gone.ref) == ("(retire up)/old", UndoKind.GONE, "r9")
    assert run_view(run, 107.0).next == "to undo what it did: batchwright rollback run"


def test_a_server_that_was_changed_back_is_still_shown_and_with_its_former_plan() -> None:
    back = (ev.RollbackStarted(107.0, "ada"), ev.UndoStarted(107.0, "big/web", 1))
    run, _ = told(*DONE, *back, ev.StepUndone(108.0, "big/web"), ev.RollbackEnded(109.0, RunState.ROLLED_BACK))
    view = run_view(run, 110.0)
    assert [(one.name, one.ref, one.plan, one.made, one.ready) for one in view.servers] == [
        ("web", "r8", "1xCPU-2GB", False, True)
    ]
    assert view.next.startswith("nothing that it created is left, and what it changed is as before")
    gone, _ = told(*DONE, *back, ev.StepUndone(108.0, "big/web", gone=True))
    assert run_view(gone, 110.0).servers == ()


def test_a_server_that_could_not_be_changed_is_still_there() -> None:
    fault = Fault(FaultClass.INVALID, "no such plan")
    run, _ = told(ev.StepFailed(103.0, "big/web", 1, fault), ev.RunEnded(104.0, RunState.FAILED, "1 failed"))
    assert [(one.name, one.ref, one.ready) for one in run_view(run, 105.0).servers] == [("web", "r8", False)]


def test_what_is_left_says_what_it_was_to_be_changed_back_to() -> None:
    words = type_of(step()).residue(step(), "r8")
    assert words.startswith("server r8 on upcloud, which was to be changed back: plan to 1xCPU-2GB (it is stopped")
    assert type_of(step()).undoing(step()) == "changing back"
