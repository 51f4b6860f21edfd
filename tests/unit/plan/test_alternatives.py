"""Servers with an `otherwise`: what is planned, what is refused, and which place an existing server counts for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from tests.unit.plan.test_server_table import refusal, step_of

from batchwright.app.diagnostic_positions import path_of, static_findings
from batchwright.model.actions import Action, Undo
from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.environment import Resource
from batchwright.model.fault import FaultClass
from batchwright.model.update_behavior import ChangeWay, FieldWay
from batchwright.model.workflow import Changes, Permission, ServerAlternative, Workflow
from batchwright.operations.observations import Observations
from batchwright.operations.server_batch import ServerRequest
from batchwright.plan import PlanResult, build
from batchwright.taskservs.catalogue import load_catalogue
from batchwright.testing.plans import command, empty_world, plan_of, servers, taskservs, workflow
from batchwright.views.planned_changes import Symbol, symbols

ZONE = ServerAlternative(zone="nl-ams1")
PLAN = ServerAlternative(plan="2xCPU-4GB")
CLOUD = ServerAlternative(provider="hetzner", plan="cx22", zone="fsn1")
REPLACED = Changes(replace=Permission.ALLOWED)


def flow(*names: str, otherwise: tuple[ServerAlternative, ...] = (ZONE, PLAN, CLOUD), **rest: Any) -> Workflow:
    changes = rest.pop("changes", Changes())
    return workflow(servers("up", *names, otherwise=otherwise, **rest), changes=changes)


def standing(provider: str, plan: str, zone: str) -> tuple[Resource, Observed]:
    """A server `a` of the environment, where an earlier run created it."""
    request = msgspec.to_builtins(ServerRequest("a", plan, zone, image="debian-12"))
    had = Resource(
        "server", "a", provider=provider, account=f"{provider}-test", ref="ref-a", run="run-1", token="t",
        request=request, made_by="run-1", made_turn=1, operation="up",
    )  # fmt: skip
    return had, Observed("ref-a", ServerState.READY, "a", "run-1", plan=plan, zone=zone, image="debian-12")


def seen(wanted: Workflow, had: Resource, found: Observed, ways: Mapping[str, FieldWay] = {}) -> PlanResult:
    """The plan while the environment has this server."""
    world = empty_world(wanted)
    at = world.providers[had.provider]
    others = {
        key: replace(one, ways={found.ref: ways}) if key[0] == found.name else one
        for key, one in at.alternatives.items()
    }
    at = replace(
        at, managed={"a": (found,)}, recorded={found.ref: found}, ways={found.ref: ways}, alternatives=others
    )  # fmt: skip
    return build(wanted, {}, Observations({**world.providers, had.provider: at}, resources=(had,)))


def test_a_step_has_each_of_its_places_with_what_is_sent_there() -> None:
    plan = plan_of(flow("a"), {})
    [step] = plan.steps
    assert step.offers == (
        ("upcloud", "1xCPU-2GB", "de-fra1"),
        ("upcloud", "1xCPU-2GB", "nl-ams1"),
        ("upcloud", "2xCPU-4GB", "de-fra1"),
        ("hetzner", "cx22", "fsn1"),
    )
    assert (step.action, step.undo) == (Action.CREATE, Undo.DESTROY)
    assert plan.operations[0].otherwise_on == (FaultClass.CAPACITY,)
    assert [one.name for one in plan.providers] == ["hetzner", "upcloud"]
    assert plan.lanes == ("hetzner", "upcloud")
    assert plan.hash() != plan_of(flow("a", otherwise=(ZONE,)), {}).hash()


def test_an_alternative_that_is_a_servers_own_place_is_none_for_that_server() -> None:
    up = servers("up", "a", "b", otherwise=(ZONE,))
    own = replace(up, server_configs=(up.server_configs[0], replace(up.server_configs[1], zone="nl-ams1")))
    first, second = plan_of(workflow(own), {}).steps
    assert (len(first.alternatives), len(second.alternatives)) == (1, 0)


def test_without_an_otherwise_a_plan_is_as_ever() -> None:
    plan = plan_of(workflow(servers("up", "a")), {})
    assert (plan.steps[0].alternatives, plan.operations[0].otherwise_on) == ((), ())
    assert b"otherwise" not in msgspec.json.encode(plan)
    assert b"alternatives" not in msgspec.json.encode(plan)


@pytest.mark.parametrize(
    ("provider", "plan", "zone"),
    [
        ("upcloud", "1xCPU-2GB", "de-fra1"),
        ("upcloud", "1xCPU-2GB", "nl-ams1"),
        ("upcloud", "2xCPU-4GB", "de-fra1"),
        ("hetzner", "cx22", "fsn1"),
    ],
)
def test_a_server_that_stands_at_one_of_its_places_is_kept(provider: str, plan: str, zone: str) -> None:
    result = seen(flow("a"), *standing(provider, plan, zone))
    assert result.plan is not None, result.diagnostics
    assert symbols(result.plan) == [Symbol.KEEP]
    step = step_of(result)
    assert (step.provider, step.request.plan, step.request.zone, step.alternatives) == (provider, plan, zone, ())


def test_a_server_at_an_alternative_is_changed_in_place_there() -> None:
    wanted = flow("a", otherwise=(replace(CLOUD, plan="cx32"),), changes=REPLACED)
    result = seen(wanted, *standing("hetzner", "cx22", "fsn1"), ways={"plan": FieldWay(ChangeWay.STOPPED)})
    step = step_of(result)
    assert (step.action, step.provider, step.request.plan) == (Action.UPDATE, "hetzner", "cx32")


def test_a_server_that_is_at_none_of_its_places_is_replaced_at_the_first() -> None:
    here = standing("hetzner", "cx22", "nbg1")
    assert refusal(seen(flow("a"), *here)) == "server-differs"
    result = seen(flow("a", changes=REPLACED), *here)
    step = step_of(result)
    assert (step.action, step.provider, len(step.alternatives)) == (Action.CREATE, "upcloud", 3)
    assert step_of(result, "up/a!old").provider == "hetzner"


def test_a_broken_server_at_an_alternative_is_replaced_at_the_first_place() -> None:
    had, found = standing("hetzner", "cx22", "fsn1")
    result = seen(flow("a", changes=REPLACED), had, replace(found, state=ServerState.BROKEN))
    step = step_of(result)
    assert step.offers[0] == ("upcloud", "1xCPU-2GB", "de-fra1")
    changed = {one.field: (one.old, one.new) for one in step.changes}
    assert changed["provider"] == ("hetzner", "upcloud")
    assert changed["zone"] == ("fsn1", "de-fra1")


def test_a_server_at_an_alternative_that_its_provider_does_not_show_is_not_created_again() -> None:
    had, found = standing("hetzner", "cx22", "fsn1")
    hidden = replace(found, state=ServerState.NOT_VISIBLE)
    assert refusal(seen(flow("a"), had, hidden)) == "server-not-visible"


def test_one_that_someone_else_destroyed_is_created_at_the_first_place() -> None:
    had, found = standing("hetzner", "cx22", "fsn1")
    step = step_of(seen(flow("a"), had, replace(found, state=ServerState.GONE)))
    assert (step.action, step.provider, len(step.alternatives)) == (Action.CREATE, "upcloud", 3)


def test_what_is_not_known_before_the_server_is_there_is_no_value_yet() -> None:
    hello = command("hello", "echo", "${servers.a.zone}", "${servers.a.name}", after=["up"])
    known = {one.reference: one.value for one in plan_of(workflow(*flow("a").operations, hello), {}).values}
    assert known == {"servers.a.name": "a", "servers.a.zone": None}


def refused(wanted: Workflow) -> list[tuple[str, object]]:
    return [(one.code, path_of(wanted, one)) for one in build(wanted, {}, empty_world(wanted)).diagnostics]


def test_alternatives_that_say_too_little_are_refused_at_their_place() -> None:
    wanted = flow("a", otherwise=(ZONE, ServerAlternative(), ServerAlternative(provider="hetzner", plan="cx22")))
    at = ("batch_workflow", "operations", 0, "otherwise")
    expected = [("alternative-same", (*at, 1)), ("alternative-incomplete", (*at, 2))]
    assert refused(wanted) == expected
    assert [(found.diagnostic.code, found.path) for found in static_findings(wanted, {})] == expected


def test_names_of_images_and_networks_do_not_hold_at_another_provider() -> None:
    up = servers("up", "a", otherwise=(CLOUD,))
    own = workflow(replace(up, server_configs=(replace(up.server_configs[0], image="debian-12", network="n"),)))
    [(code, _)] = refused(own)
    assert code == "alternative-incomplete"
    said = workflow(replace(own.operations[0], otherwise=(replace(CLOUD, image="debian-12", network="m"),)))  # type: ignore[type-var]
    assert plan_of(said, {}).steps[0].alternatives[0].request.image == "debian-12"  # type: ignore[attr-defined]


@pytest.mark.parametrize("keeper", ["upcloud", "hetzner"])
def test_a_provider_that_cannot_destroy_is_no_alternative(keeper: str) -> None:
    wanted = flow("a", otherwise=(ZONE if keeper == "upcloud" else CLOUD,))
    world = empty_world(wanted)
    keeps = replace(world.providers[keeper], destroys=False)
    result = build(wanted, {}, replace(world, providers={**world.providers, keeper: keeps}))
    assert refusal(result) == "alternative-keeps"


def test_what_a_task_service_needs_must_be_there_at_every_place() -> None:
    wanted = workflow(*flow("a").operations, taskservs("web", "nginx", after=["up"]))
    world = empty_world(wanted)
    small = replace(world.providers["hetzner"], init=False)
    result = build(wanted, load_catalogue(), replace(world, providers={**world.providers, "hetzner": small}))
    assert refusal(result) == "needs-unmet"
