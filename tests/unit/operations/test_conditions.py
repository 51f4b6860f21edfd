"""Answers, handlers of failures, and limits of one operation: the file, the plan, the run, and its views."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.unit.engine.stage import Part, Stage, runs, servers

from batchwright.engine.manual_resolution import go_on
from batchwright.errors import NotAllowed
from batchwright.loader import load
from batchwright.model import events as ev
from batchwright.model.lifecycle import RunState
from batchwright.model.operation_end import OperationEnd, operation_end
from batchwright.model.run import Run
from batchwright.model.workflow import Dependency, DependencyKind
from batchwright.operations.command import CommandRequest
from batchwright.plan import build
from batchwright.testing.plans import empty_world
from batchwright.testing.virtual_clock import run_virtual
from batchwright.views.plan import plan_view
from batchwright.views.run import run_view

DOCS = Path(__file__).parents[3] / "docs/conditions.md"
FILE = """
{{ batch_workflow = {{ name = "w", version = "1", {more} operations = {{
  probe = {{ type = "command", run = ["true"], answers = {answers}, {probe} }},
  next = {{ type = "command", run = ["true"], when = {when}, {next} }},
}} }} }}
"""


def found(tmp_path: Path, **parts: str) -> list[tuple[str, str]]:
    texts = {"answers": "{ yes = 0, no = 3 }", "when": '{ probe = "no" }', "more": "", "probe": "", "next": ""}
    path = tmp_path / "flow.ncl"
    path.write_text(FILE.format(**{**texts, **parts}))
    loaded = load(path)
    if loaded.workflow is None:
        return [(one.code, one.hint) for one in loaded.diagnostics]
    result = build(loaded.workflow, {}, empty_world(loaded.workflow))
    return [(one.code, f"{one.where}.{one.field}") for one in result.diagnostics]


@pytest.mark.parametrize(
    ("parts", "code", "told"),
    [
        ({"probe": 'unless = ["true"]'}, "answers-with-unless", "probe.answers"),
        ({"when": '{ probe = "mo" }'}, "when-unknown-answer", "next.when.probe"),
        ({"answers": "{}"}, "when-no-answers", "next.when.probe"),
        ({"answers": "{ yes = 0, ja = 0, no = 1 }"}, "answers-ambiguous", "probe.answers.yes"),
        ({"when": '{ prob = "no" }'}, "unknown-dependency", 'Did you mean "probe"?'),
        ({"probe": 'when = { next = "x" }'}, "dependency-cycle", "Remove one of these dependencies."),
        (
            {"next": 'dependencies = [{ id = "probe", kind = "failed" }]', "more": 'on_failure = "stop",'},
            *("handler-never-runs", "next.dependencies.0.kind"),
        ),
        (
            {"next": 'dependencies = [{ id = "probe", kind = "failed" }]'},
            *("handler-never-runs", "next.dependencies.0.kind"),
        ),
    ],
)
def test_conditions_that_can_never_hold_are_refused(
    tmp_path: Path, parts: dict[str, str], code: str, told: str
) -> None:
    assert (code, told) in found(tmp_path, **parts)


def test_a_file_with_conditions_is_planned_and_says_them(tmp_path: Path) -> None:
    assert found(tmp_path) == []
    loaded = load(tmp_path / "flow.ncl").workflow
    assert loaded is not None
    plan = build(loaded, {}, empty_world(loaded)).plan
    assert plan is not None
    assert plan.operations[1].dependencies == (Dependency("probe"),)
    assert plan_view(plan).operations[1].conditions == ("only if probe answers no",)
    assert "next: only if probe answers no" in plan_view(plan).notes


def probe(**answers: int) -> Part:
    op, [step] = runs("probe", undo=False, idempotent=True)
    request = CommandRequest("probe", ("probe",), idempotent=True, answers=answers)
    return op, [replace(step, request=request)]


def on(op: str, part: Part, kind: DependencyKind) -> Part:
    return replace(part[0], dependencies=(*part[0].dependencies, Dependency(op, kind))), part[1]


def asking(part: Part, answer: str) -> Part:
    return replace(on("probe", part, DependencyKind.HARD)[0], when={"probe": answer}), part[1]


def failover(answer: str, fail: str = "") -> Run:
    stage = Stage(
        probe(yes=0, no=3),
        asking(runs("promote", undo=False), "no"),
        asking(runs("stay", undo=False), "yes"),
        on("stay", runs("after", undo=False), DependencyKind.HARD),
        on("stay", runs("always", undo=False), DependencyKind.SOFT),
        on("promote", runs("page", undo=False), DependencyKind.FAILED),
        settings={"answer": f"probe:{answer}", "fail_command": fail},
    )
    return run_virtual(stage.drive())


def ends(run: Run) -> dict[str, str]:
    return {op.id: str(operation_end(run, i)) for i, op in enumerate(run.plan.operations)}


GOOD, LEFT_OUT = str(OperationEnd.SUCCEEDED), str(OperationEnd.NOT_WANTED)


def test_an_answer_chooses_the_way_and_what_is_not_wanted_fails_nothing() -> None:
    run = failover("no")
    assert run.status is RunState.COMPLETED
    wanted = {"probe": GOOD, "promote": GOOD, "stay": LEFT_OUT, "after": LEFT_OUT, "always": GOOD, "page": LEFT_OUT}
    assert ends(run) == wanted
    view = run_view(run, now=run.updated_at)
    assert (view.done, view.total) == (3, 3)
    assert [op.state for op in view.operations] == ["done", "done", "not wanted", "not wanted", "done", "not wanted"]
    assert ("probe answered no, not yes", 1) in [(one.reason, one.steps) for one in view.not_wanted]
    assert ends(failover("yes"))["promote"] == LEFT_OUT


def test_a_handler_runs_when_what_it_is_for_failed_and_heals_nothing() -> None:
    run = failover("no", fail="promote=permanent")
    assert (ends(run)["promote"], ends(run)["page"], run.status) == ("failed", GOOD, RunState.FAILED)


def test_a_handler_runs_when_what_it_is_for_was_skipped() -> None:
    assert ends(failover("no", fail="probe=permanent")) == {
        "probe": "failed",
        "promote": "skipped",
        "stay": "skipped",
        "after": "skipped",
        "always": GOOD,
        "page": GOOD,
    }


def test_an_answer_cannot_be_marked_as_done() -> None:
    run = failover("no", fail="probe=permanent")
    with pytest.raises(NotAllowed, match="only running it tells its answer"):
        go_on(run, run.updated_at, "ada", (), ("probe/run",))


def test_at_most_so_many_steps_of_an_operation_are_in_flight() -> None:
    up = servers("up", *"abcdef")
    stage = Stage((replace(up[0], parallel_limit=2), up[1]), servers("free", "x", "y", "z"))
    flying: dict[str, set[str]] = {"up": set(), "free": set()}
    most = {"up": 0, "free": 0}

    async def story() -> None:
        assert (await stage.drive()).status is RunState.COMPLETED
        await stage.drive(lambda machine, now: machine.rollback(now, "user"))
        for event in await stage.history():
            step = getattr(event, "step", "")
            if isinstance(event, ev.StepStarted | ev.UndoStarted):
                flying[step.partition("/")[0]].add(step)
            elif isinstance(event, ev.StepSucceeded | ev.StepUndone):
                flying[step.partition("/")[0]].discard(step)
            most.update({op: max(most[op], len(open_)) for op, open_ in flying.items()})

    run_virtual(story())
    assert most == {"up": 2, "free": 3}


def test_the_example_of_the_documentation_is_planned(tmp_path: Path) -> None:
    example = DOCS.read_text().partition("```nickel\n")[2].partition("```")[0]
    (tmp_path / "flow.ncl").write_text(example)
    loaded = load(tmp_path / "flow.ncl").workflow
    assert loaded is not None
    plan = build(loaded, {}, empty_world(loaded)).plan
    assert plan is not None
    assert [op.id for op in plan.operations] == ["probe", "promote", "page"]
