"""A plan as a difference: counts first, what changes from what to what, many alike on one line."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.plan.test_install_table import RAN, catalogue, flow, install, planned, server

from batchwright.model.actions import Action, Undo
from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.environment import Resource
from batchwright.model.plan import DESTROYED, FieldChange, Plan, Retired, Step
from batchwright.model.workflow import Changes, Workflow
from batchwright.operations.command import CommandRequest
from batchwright.operations.server_batch import ServerBatch, ServerRequest
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.plan import Observations
from batchwright.testing.plans import command, empty_world, plan_of, servers, taskservs, workflow
from batchwright.views.plan import PlanView, plan_view
from batchwright.views.planned_changes import Symbol, change_words, condensed, counts_words, is_unchanged, symbols


def view_of(wanted: Workflow, *resources: Resource, **rest: Any) -> PlanView:
    plan = planned(wanted, *resources, **rest).plan
    assert plan is not None
    return plan_view(plan)


def told(view: PlanView) -> list[str]:
    return [f"{line.symbol} {line.what}: {'; '.join(line.details)}" for line in view.lines]


def test_many_that_change_alike_are_one_line_and_what_stays_is_only_counted() -> None:
    names = [f"web-{number}" for number in range(1, 301)]
    there = [one for name in names for one in (server(name), install(name))]
    view = view_of(flow(*names, "new", variables={"port": 81}), *there)
    assert counts_words(view.difference) == "+ 2  ~ 300  = 300"
    assert told(view) == [
        "+ new (upcloud): plan 1xCPU-2GB, zone de-fra1, image debian-12",
        "~ web on web-1 ... web-300 (300): port 80 -> 81",
        "+ web on new: version 1.22",
    ]


def test_an_unchanged_file_says_that_nothing_changes() -> None:
    view = view_of(flow("a"), server("a"), install("a"))
    assert is_unchanged(view.difference)
    assert (counts_words(view.difference), view.lines) == ("nothing to change: = 2", [])


def test_what_goes_is_last_and_a_server_that_is_replaced_counts_once() -> None:
    small = flow("a", "b", "c")
    up, on = small.operations
    assert isinstance(up, ServerBatch)
    bigger = tuple(replace(one, plan="2xCPU-4GB") if one.name == "b" else one for one in up.server_configs[:2])
    wanted = replace(
        small, operations=(replace(up, server_configs=bigger), on), changes=Changes(replace_servers=("b",))
    )
    there = [one for name in ("a", "b", "c") for one in (server(name), install(name))]
    view = view_of(wanted, *there, retire=True)
    assert counts_words(view.difference) == "+ 1  -/+ 1  - 1  = 2"
    assert told(view) == [
        "-/+ b (upcloud): plan 1xCPU-2GB -> 2xCPU-4GB; destroyed with its data and addresses, then created anew",
        "+ web on b: version 1.22",
        "- c (upcloud): with web; destroyed with its data and addresses",
    ]


def test_the_step_that_only_finds_a_server_which_goes_counts_for_nothing() -> None:
    entries = catalogue(remove_before_destroy=True)
    there = (server("a"), server("b"), install("a"), install("b"))
    view = view_of(flow("a"), *there, entries=entries, retire=True)
    assert counts_words(view.difference) == "- 2  = 2"
    assert told(view) == ["- web on b: removed", "- b (upcloud): destroyed with its data and addresses"]


def test_a_command_counts_as_a_change_whatever_it_does() -> None:
    here, there = command("tell", "echo", "done"), command("migrate", "sh", "-c", "x", after=["up"], targets=("a",))
    view = view_of(workflow(servers("up", "a"), here, there), server("a"))
    assert (counts_words(view.difference), is_unchanged(view.difference)) == ("run 2  = 1", False)
    assert told(view) == ["run echo done on this machine: ", "run sh -c x on a: "]


def test_a_server_that_someone_else_destroyed_says_so() -> None:
    wanted, gone = flow("a"), server("a")
    world = empty_world(wanted)
    seen = {gone.ref: Observed(gone.ref, ServerState.GONE, "a")}
    upcloud = replace(world.providers["upcloud"], recorded=seen)
    plan = plan_of(wanted, catalogue(), Observations({"upcloud": upcloud}, resources=(gone, install("a"))))
    assert told(plan_view(plan)) == [
        "+ a (upcloud): was destroyed by someone else; plan 1xCPU-2GB, zone de-fra1, image debian-12",
        "+ web on a: version 1.22",
    ]


def test_a_server_that_is_stopped_for_a_change_says_so_and_one_that_is_released_stays() -> None:
    request = ServerRequest("a", "2xCPU-4GB", "de-fra1")
    stops = FieldChange("plan", "1xCPU-2GB", "2xCPU-4GB", stops=True)
    changed = Step("up/a", "up", "upcloud", Action.UPDATE, Undo.NOTHING, request, ref="r", changes=(stops,))
    live = replace(changed, id="up/c", request=replace(request, name="c"), changes=(replace(stops, stops=False),))
    borrowed = Step(
        "(release up)/b", "up", "upcloud", Action.RETIRE, Undo.NOTHING, replace(request, name="b"), ref="q",
        retired=Retired("server//b"),
    )  # fmt: skip
    base = plan_of(workflow(servers("up", "a")), {})
    view = plan_view(replace(base, steps=(changed, live, borrowed)))
    assert told(view) == [
        "~ a (upcloud): plan 1xCPU-2GB -> 2xCPU-4GB; stopped for it, then started again",
        "~ c (upcloud): plan 1xCPU-2GB -> 2xCPU-4GB; keeps running",
        "- b (upcloud): released, it stays",
    ]


def test_an_undone_command_is_what_a_destroy_does() -> None:
    request = CommandRequest("sh", ("make", "it"), ("unmake", "it"))
    step = Step("(undo x)/x", "up", "", Action.RETIRE, Undo.NOTHING, request, retired=Retired("command//x"))
    base: Plan = plan_of(workflow(servers("up", "a")), {})
    assert told(plan_view(replace(base, steps=(step,)))) == ["- unmake it on this machine: undoes make it"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (FieldChange("variables.port", "80", "8080"), "port 80 -> 8080"),
        (FieldChange("variables.bind", None, "::"), "bind none -> ::"),
        (FieldChange("entry", None, "e" * 12), f"catalogue entry not known -> {'e' * 12}"),
        (FieldChange("cluster.size", "2", "3"), "cluster size 2 -> 3"),
        (
            FieldChange("server.address", "10.0.0.1", known=False),
            "server.address 10.0.0.1 -> known once its server is up",
        ),
        (FieldChange("finished", "no", "yes"), "its last install did not finish"),
        (FieldChange("reinstall", None, "yes"), "asked for again"),
        (FieldChange(DESTROYED, "upcloud-000001", known=False), "was destroyed by someone else"),
        (FieldChange("plan", "s", "m", note="its disk keeps its size"), "plan s -> m (its disk keeps its size)"),
        (FieldChange("variables.motd", "a", "b\n\x1b[2J c"), "motd a -> b c"),
    ],
)
def test_one_field_in_words(change: FieldChange, words: str) -> None:
    assert change_words(change) == words


def test_names_are_few_or_condensed() -> None:
    assert [condensed(["a", "b", "c", "d"][:number]) for number in (1, 2, 3, 4)] == [
        "a",
        "a and b",
        "a, b and c",
        "a ... d (4)",
    ]


def test_an_install_that_is_there_already_without_a_run_is_new_and_says_so() -> None:
    wanted = workflow(servers("up", "a"), taskservs("on", "web", after=["up"]))
    world = empty_world(wanted)
    there = Observed("ref-a", ServerState.READY, "a", plan="1xCPU-2GB", zone="de-fra1")
    upcloud = replace(world.providers["upcloud"], managed={"a": (there,)}, installed={"a": ("web",)})
    plan = plan_of(wanted, catalogue(), Observations({"upcloud": upcloud}))
    assert symbols(plan) == [Symbol.KEEP, Symbol.CREATE]
    assert told(plan_view(plan)) == ["+ web on a: version 1.22, it is there already"]
    assert isinstance(plan.steps[1].request, TaskservRequest)
    assert plan.steps[1].request == RAN
