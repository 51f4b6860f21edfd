"""The plan's view: words, counts and what it must not lose."""

from __future__ import annotations

import msgspec

from batchwright.model.actions import Action
from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.ssh_access import SshAccess
from batchwright.model.taskserv import Taskserv
from batchwright.operations.command import COMMAND_MAX, command_words
from batchwright.plan import Observations
from batchwright.testing.plans import empty_world, plan_of, servers, taskservs, workflow
from batchwright.views.plan import PlanView, plan_view

CATALOGUE = {
    "redis": Taskserv("redis", "7.0", "", 10.0),
    "agent": Taskserv("agent", "2", "", 10.0, remove_before_destroy=True),
}
FLOW = workflow(
    servers("made", "web-01", "web-02"),
    taskservs("on", "redis", "agent", after=["made"], provider="aws"),
)


def shown() -> PlanView:
    """Of a world in which web-02 is there already."""
    world = empty_world(FLOW).providers["upcloud"]
    there = Observed("ref-2", ServerState.READY, "web-02", plan="1xCPU-2GB", zone="de-fra1")
    return plan_view(
        plan_of(
            FLOW, CATALOGUE, Observations({"upcloud": msgspec.structs.replace(world, managed={"web-02": (there,)})})
        )
    )


def test_each_step_says_what_it_does_and_what_undoing_it_does() -> None:
    assert [(step.does, step.undoes) for step in shown().steps] == [
        ("create server web-01: plan 1xCPU-2GB, zone de-fra1, image debian-12", "destroy server web-01"),
        ("keep server web-02 (ref-2): it exists and matches", "nothing: web-02 existed before"),
        ("install agent 2 on web-01", "remove agent from web-01"),
        ("install redis 7.0 on web-01", "nothing by itself: removed together with server web-01"),
        ("install agent 2 on web-02", "remove agent from web-02"),
        ("install redis 7.0 on web-02", "remove redis from web-02"),
    ]


def test_a_server_that_exists_already_is_taken_and_let_go_and_what_was_put_on_it_removed() -> None:
    world = empty_world(FLOW).providers["upcloud"]
    requests = {
        name: msgspec.structs.replace(request, plan="", zone="", access=SshAccess("10.0.0.1"))
        for name, request in world.requests.items()
    }
    stays = msgspec.structs.replace(world, destroys=False, requests=requests)
    steps = plan_view(plan_of(FLOW, CATALOGUE, Observations({"upcloud": stays}))).steps
    assert (steps[0].does, steps[0].undoes) == (
        "take server web-01, which already exists at 10.0.0.1",
        "release server web-01, which stays",
    )
    assert [step.undoes for step in steps[2:4]] == ["remove agent from web-01", "remove redis from web-01"]


def test_counts_are_per_provider_and_add_up() -> None:
    view = shown()
    none = dict.fromkeys(Action, 0)
    assert view.providers == {
        "aws": {**none, Action.INSTALL: 4},
        "upcloud": {**none, Action.CREATE: 1, Action.KEEP: 1},
    }
    assert view.counts == {**none, "create": 1, "keep": 1, "install": 4}
    assert {"create", "keep", "install", "run"} <= view.counts.keys(), "those that are 0 are told too"
    assert [op.steps for op in view.operations] == [2, 4]


def test_the_view_survives_json_and_carries_the_hash_and_the_estimate() -> None:
    view = shown()
    assert msgspec.json.decode(msgspec.json.encode(view), type=PlanView) == view
    assert len(view.hash) == 16
    assert view.estimate.critical_path == ("made/web-01", "on/web-01/agent", "on/web-01/redis")
    assert not view.simulated


def test_a_command_of_several_lines_stays_on_one() -> None:
    """C12"""
    told = command_words(["sh", "-c", "echo one\n  echo two\r\n" + "x" * 4_000])
    assert told.startswith("sh -c 'echo one\\n echo two")
    assert len(told) <= COMMAND_MAX
    assert len(told.splitlines()) == 1
