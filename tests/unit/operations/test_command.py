"""Commands in the plan: one step here or one per server, what undoing them is, and what stands against them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from batchwright.model.actions import Action, Undo
from batchwright.model.plan import Step
from batchwright.model.secret_reference import SecretReference
from batchwright.operations.command import CommandRequest
from batchwright.plan import build
from batchwright.testing.plans import command, empty_world, plan_of, servers, workflow
from batchwright.views.plan import plan_view

UP = servers("up", "web-01", "web-02")


def steps(*operations: object) -> dict[str, Step]:
    return {step.id: step for step in plan_of(workflow(*operations), {}).steps}  # type: ignore[arg-type]


def test_without_targets_it_is_one_step_of_this_machine() -> None:
    env: dict[str, str | SecretReference] = {"A": "b", "T": SecretReference(env="TOKEN")}
    step = steps(command("do", "make", "all", undo=["make", "clean"], env=env, idempotent=True))["do/run"]
    assert (step.action, step.undo, step.server, step.provider) == (Action.RUN, Undo.RUN, "", "")
    assert step.request == CommandRequest("make", ("make", "all"), ("make", "clean"), env, "", True)


def test_with_targets_it_is_one_step_per_server() -> None:
    planned = steps(UP, command("do", "make", after=["up"], targets=("up",)))
    assert {one.id: one.server for one in planned.values() if one.action is Action.RUN} == {
        "do/web-01": "up/web-01", "do/web-02": "up/web-02"
    }  # fmt: skip
    assert "do/web-02" not in steps(UP, command("do", "make", after=["up"], targets=("web-01",)))


@pytest.mark.parametrize(
    ("undo", "targets", "expected"),
    [
        (["make", "clean"], ("up",), Undo.RUN),
        ([], ("up",), Undo.WITH_SERVER),
        ([], None, Undo.NOTHING),
        (["make", "clean"], None, Undo.RUN),
    ],
)
def test_what_undoing_it_is(undo: list[str], targets: tuple[str, ...] | None, expected: Undo) -> None:
    planned = steps(UP, command("do", "make", after=["up"], undo=undo, targets=targets))
    assert {one.undo for one in planned.values() if one.action is Action.RUN} == {expected}


def test_it_has_a_lane_of_its_own_and_is_no_providers() -> None:
    plan = plan_of(workflow(UP, command("do", "make", after=["up"])), {})
    assert [(op.type, op.provider, op.lane) for op in plan.operations] == [
        ("server_batch", "upcloud", "upcloud"), ("command", "", "commands")
    ]  # fmt: skip
    view = plan_view(plan)
    assert (view.counts["run"], list(view.providers)) == (1, ["upcloud"])


def test_the_plan_says_what_it_does_and_what_undoing_it_does() -> None:
    plan = plan_of(
        workflow(
            UP,
            command("here", "sh", "-c", "echo a b", undo=["make", "clean"], directory="/srv"),
            command("bare", "make"),
            command("there", "make", after=["up"], targets=("web-01",)),
        ),
        {},
    )
    told = {step.id: (step.does, step.undoes) for step in plan_view(plan).steps if step.action is Action.RUN}
    assert told == {
        "here/run": ("run sh -c 'echo a b' on this machine, in /srv", "run make clean on this machine, in /srv"),
        "bare/run": ("run make on this machine", "nothing: it has no undo"),
        "there/web-01": ("run make on web-01", "nothing by itself: removed together with server web-01"),
    }


def test_a_target_it_does_not_depend_on_is_refused() -> None:
    flow = workflow(UP, command("do", "make", targets=("web-01",)))
    built = build(flow, {}, empty_world(flow))
    assert [one.code for one in built.diagnostics] == ["target-not-depended-on"]


def test_a_command_of_which_nothing_is_known_is_refused_even_without_a_reason() -> None:
    flow = workflow(command("do", "make"))
    built = build(flow, {}, replace(empty_world(flow), requests={}))
    assert built.plan is None
    assert [(one.code, one.where) for one in built.diagnostics] == [("command-unresolved", "do")]


def test_a_secret_is_in_the_plan_by_reference_and_changes_its_hash() -> None:
    one, two = (plan_of(workflow(command("do", "x", env={"T": SecretReference(env=n)})), {}) for n in ("A", "B"))
    assert one.hash() != two.hash()
