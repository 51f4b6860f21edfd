"""The decision table of servers: what the environment has, the file asks for and the provider shows, and what is done.

Rows about calls of unknown outcome are with the runs: tests/unit/app.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from batchwright.model.actions import Action, Undo
from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.environment import Leftover, Resource
from batchwright.model.plan import DESTROYED, FieldChange, Guard, ProviderFacts, Step
from batchwright.model.update_behavior import ChangeWay, FieldWay
from batchwright.model.workflow import (
    AcceptedDifference,
    Changes,
    Drift,
    Permission,
    ReplaceOrder,
    ServerConfig,
    Workflow,
)
from batchwright.operations.observations import Observations, ProviderObserved
from batchwright.operations.server_batch import ServerBatch, ServerRequest
from batchwright.plan import PlanResult, build
from batchwright.testing.plans import empty_world, servers, workflow
from batchwright.views.plan import plan_view
from batchwright.views.planned_changes import Symbol, symbols

REQUEST = ServerRequest("a", "1xCPU-2GB", "de-fra1", image="debian-12")
THERE = Observed("ref-a", ServerState.READY, "a", "run-1", plan="1xCPU-2GB", zone="de-fra1", image="debian-12")
HAD = Resource(
    "server", "a", provider="upcloud", account="upcloud-test", ref="ref-a", run="run-1", token="t",
    request=msgspec.to_builtins(REQUEST), made_by="run-1", made_turn=1, operation="up",
)  # fmt: skip
LIVE, STOPPED, REPLACE = (FieldWay(way) for way in (ChangeWay.LIVE, ChangeWay.STOPPED, ChangeWay.REPLACE))


def flow(*names: str, replaces: bool = False, **fields: Any) -> Workflow:
    up = servers("up", *names)
    configs = tuple(replace(one, **fields) for one in up.server_configs)
    allowed = Changes(replace=Permission.ALLOWED if replaces else Permission.REFUSED)
    return workflow(replace(up, server_configs=configs), changes=allowed)


def planned(
    wanted: Workflow,
    *shown: Observed,
    had: tuple[Resource, ...] = (HAD,),
    recorded: Mapping[str, Observed] | None = None,
    ways: Mapping[str, FieldWay] = {},
    retire: Permission = Permission.REFUSED,
    provider: Mapping[str, Any] = {},
    **seen: Any,
) -> PlanResult:
    """The plan where UpCloud lists `shown`; each is also what it says of that reference unless `recorded` says more."""
    world = empty_world(wanted)
    managed: dict[str, tuple[Observed, ...]] = {}
    for one in shown:
        managed[one.name] = (*managed.get(one.name, ()), one)
    known = {one.ref: one for one in shown} if recorded is None else recorded
    upcloud = world.providers.get("upcloud") or ProviderObserved(
        ProviderFacts("upcloud", "upcloud-test", Guard.LABEL_ONLY, 30.0)
    )
    changeable = {one.ref: ways for one in shown}
    upcloud = replace(upcloud, managed=managed, recorded=known, ways=changeable, **provider)
    observations = Observations({**world.providers, "upcloud": upcloud}, resources=had, **seen)
    return build(wanted, {}, observations, retire=retire)


def step_of(result: PlanResult, name: str = "up/a") -> Step:
    assert result.plan is not None, result.diagnostics
    (found,) = [one for one in result.plan.steps if one.id == name]
    return found


def told(result: PlanResult) -> list[Symbol]:
    assert result.plan is not None, result.diagnostics
    return [one for one in symbols(result.plan) if one is not None]


def refusal(result: PlanResult) -> str:
    (problem,) = [one for one in result.diagnostics if one.severity == "error"]
    assert result.plan is None
    assert problem.message
    return problem.code


def labels(text: str) -> dict[str, str]:
    """Written as "a=1 b=2"."""
    return dict(one.split("=") for one in text.split())


def asked(text: str) -> ServerRequest:
    return replace(REQUEST, labels=labels(text))


def asked_last(text: str) -> Resource:
    return replace(HAD, request=msgspec.to_builtins(asked(text)))


def test_none_wanted_and_nobody_there_is_created() -> None:
    result = planned(flow("a"), had=())
    assert told(result) == [Symbol.CREATE]
    assert (step_of(result).undo, step_of(result).changes) == (Undo.DESTROY, ())


def test_none_wanted_and_a_late_effect_of_an_own_run_there_is_refused() -> None:
    assert refusal(planned(flow("a"), THERE, had=(), orphans=frozenset({"run-1"}))) == "server-orphan"


def test_none_wanted_and_one_of_another_environment_there_is_borrowed() -> None:
    result = planned(flow("a"), THERE, had=())
    assert told(result) == [Symbol.KEEP]
    assert (step_of(result).undo, step_of(result).before) == (Undo.NOTHING, None)


def test_none_wanted_and_one_of_an_unknown_run_there_is_refused() -> None:
    assert refusal(planned(flow("a"), THERE, had=(), strangers=frozenset({"run-1"}))) == "server-exists"


@pytest.mark.parametrize("had", [(), (HAD,)])
def test_two_of_one_name_are_refused_whatever_the_environment_has(had: tuple[Resource, ...]) -> None:
    assert refusal(planned(flow("a"), THERE, replace(THERE, ref="ref-b"), had=had)) == "server-ambiguous"


def new_first(wanted: Workflow) -> Workflow:
    (up,) = wanted.operations
    assert isinstance(up, ServerBatch)
    return replace(wanted, operations=(replace(up, replace_order=ReplaceOrder.NEW_FIRST),))


def test_there_and_different_is_replaced_in_the_order_that_the_operation_says() -> None:
    wanted = flow("a", replaces=True, zone="fi-hel1")
    first, last = planned(wanted, THERE), planned(new_first(wanted), THERE)
    assert told(first) == told(last) == [Symbol.REPLACE]
    assert first.plan is not None
    assert last.plan is not None
    assert [(step.id, step.action) for step in first.plan.steps] == [
        ("up/a!old", Action.RETIRE), ("up/a", Action.CREATE),
    ]  # fmt: skip
    assert [(step.id, step.action) for step in last.plan.steps] == [
        ("up/a", Action.CREATE), ("(retire up)/a", Action.RETIRE),
    ]  # fmt: skip
    assert "up" in {one.id for one in last.plan.operations[-1].dependencies}
    assert step_of(last, "(retire up)/a").ref == "ref-a"
    assert (
        plan_view(last.plan).lines[0].details[-1] == "created anew; the old one goes last, with its data and addresses"
    )


def test_new_first_needs_the_permission_and_names_that_need_not_be_unique() -> None:
    assert refusal(planned(new_first(flow("a", zone="fi-hel1")), THERE)) == "server-differs"
    unique = ProviderFacts("upcloud", "upcloud-test", Guard.UNIQUE_NAME, 30.0)
    wanted = flow("a", replaces=True, zone="fi-hel1")
    assert refusal(planned(new_first(wanted), THERE, provider={"facts": unique})) == "name-in-use"
    assert told(planned(wanted, THERE, provider={"facts": unique})) == [Symbol.REPLACE]
    assert told(planned(new_first(flow("a")), THERE, provider={"facts": unique})) == [Symbol.KEEP]


LEFT = Leftover("upcloud", "upcloud-test", "ref-0", "run-0", "t0", former=(replace(HAD, ref="ref-0", run="run-0"),))
OLDER = replace(THERE, ref="ref-0", run="run-0")


@pytest.mark.parametrize("retire", list(Permission))
def test_a_leftover_that_is_there_is_retired_whatever_is_allowed(retire: Permission) -> None:
    had = (replace(HAD, leftover=(LEFT,)),)
    seen = {"ref-a": THERE, "ref-0": OLDER}
    result = planned(flow("a"), THERE, had=had, recorded=seen, retire=retire)
    assert told(result) == [Symbol.KEEP, Symbol.RETIRE]
    step = step_of(result, "(retire up)/a!ref-0")
    assert (step.ref, step.leftover, step.gone) == ("ref-0", True, False)
    assert step.retired is not None
    assert (step.retired.run, step.retired.token) == ("run-0", "t0")


def test_a_leftover_that_is_gone_is_forgotten_and_one_that_cannot_be_reached_is_named() -> None:
    had = (replace(HAD, leftover=(LEFT,)),)
    gone = {"ref-a": THERE, "ref-0": replace(OLDER, state=ServerState.GONE)}
    assert step_of(planned(flow("a"), THERE, had=had, recorded=gone), "(retire up)/a!ref-0").gone
    for lost in (replace(LEFT, account="other"), replace(LEFT, provider="aws"), "ref-0"):
        result = planned(flow("a"), THERE, had=(replace(HAD, leftover=(lost,)),))
        assert told(result) == [Symbol.KEEP]
        assert [one.code for one in result.diagnostics] == ["leftover-stays"]


def test_the_new_one_of_a_run_that_is_replacing_it_now_is_not_ambiguous() -> None:
    newer = replace(THERE, ref="ref-b", run="run-2")
    assert refusal(planned(flow("a"), THERE, newer)) == "server-ambiguous"
    assert told(planned(flow("a"), THERE, newer, changing="run-2")) == [Symbol.KEEP]


@pytest.mark.parametrize("state", [ServerState.READY, ServerState.STARTING])
def test_there_and_equal_is_kept_also_while_it_starts(state: ServerState) -> None:
    result = planned(flow("a"), replace(THERE, state=state))
    assert told(result) == [Symbol.KEEP]
    assert (step_of(result).action, step_of(result).ref) == (Action.KEEP, "ref-a")


def test_there_and_different_in_what_is_changed_live_is_updated() -> None:
    result = planned(flow("a", labels={"team": "b"}), THERE, ways={"labels": LIVE})
    step = step_of(result)
    assert told(result) == [Symbol.UPDATE]
    assert (step.action, step.undo, step.changes) == (
        Action.UPDATE,
        Undo.RESTORE,
        (FieldChange("labels", "none", "team=b"),),
    )
    assert step.before is not None
    assert step.before.request == REQUEST


@pytest.mark.parametrize(
    ("last", "wanted", "shown", "change"),
    [
        ("t=web", "t=web", "t=web cost=7", None),  # a label that the file does not name is somebody else's
        ("t=web", "t=web", "t=db", ("t=db", "t=web")),
        ("t=web", "t=web", "cost=7", ("none", "t=web")),
        ("t=web", "", "t=web cost=7", ("t=web", "none")),
        ("t=web", "t=db", "t=ui", ("t=ui", "t=db")),
        ("", "t=web", "t=db", ("t=db", "t=web")),
        ("t=web", "t=db", None, ("t=web", "t=db")),  # the provider shows none
        ("t=web", "t=web", None, None),
    ],
)
def test_labels_are_compared_with_those_that_are_there(
    last: str, wanted: str, shown: str | None, change: tuple[str, str] | None
) -> None:
    had, there = asked_last(last), replace(THERE, labels=None if shown is None else labels(shown))
    result = planned(flow("a", labels=labels(wanted)), there, had=(had,), ways={"labels": LIVE})
    assert told(result) == [Symbol.UPDATE if change else Symbol.KEEP]
    assert step_of(result).changes == ((FieldChange("labels", *change),) if change else ())
    before = step_of(result).before
    assert before is None if change is None else before is not None and before.request == asked(last)
    as_it_is = planned(flow("a", labels=labels(wanted)), there, had=(had,))  # where they are set at the create only
    assert [one.code for one in as_it_is.diagnostics] == (["server-kept-as-it-is"] if change else [])
    assert (step_of(as_it_is).action, step_of(as_it_is).before) == (Action.KEEP, None)


@pytest.mark.parametrize(("last", "wanted", "shown"), [("", "t=db", "t=db cost=7"), ("t=web", "", "cost=7")])
def test_labels_that_somebody_set_as_the_file_asks_for_are_kept_and_noted(last: str, wanted: str, shown: str) -> None:
    there = replace(THERE, labels=labels(shown))
    step = step_of(planned(flow("a", labels=labels(wanted)), there, had=(asked_last(last),), ways={"labels": LIVE}))
    assert (step.action, step.changes) == (Action.KEEP, ())
    assert step.before is not None
    assert step.before.request == asked(last)
    resize = flow("a", replaces=True, labels=labels(wanted), plan="2xCPU-4GB")
    step = step_of(planned(resize, there, had=(asked_last(last),), ways={"labels": LIVE, "plan": STOPPED}))
    assert [one.field for one in step.changes] == ["plan"]
    assert step.before is not None
    assert step.before.request == asked(wanted)


@pytest.mark.parametrize(("wanted", "codes"), [("t=web", ["drift-accepted"]), ("t=ui", [])])
def test_labels_that_drifted_may_be_accepted_unless_the_file_asks_for_others(wanted: str, codes: list[str]) -> None:
    accepted = Drift((AcceptedDifference("a", "tried by hand", "9999-12-31", ("labels",)),))
    there, wish = replace(THERE, labels=labels("t=db")), replace(flow("a", labels=labels(wanted)), drift=accepted)
    result = planned(wish, there, had=(asked_last("t=web"),), ways={"labels": LIVE})
    assert [one.code for one in result.diagnostics] == codes
    assert step_of(result).action is (Action.KEEP if codes else Action.UPDATE)


@pytest.mark.parametrize("adopt", [(), ("a",)])
def test_labels_of_a_server_that_this_environment_did_not_create_stay_for_now(adopt: tuple[str, ...]) -> None:
    wanted = flow("a", labels=labels("t=web"))
    there, strangers = replace(THERE, labels={}), frozenset({"run-1"} if adopt else ())
    wanted = replace(wanted, changes=replace(wanted.changes, adopt=adopt))
    result = planned(wanted, there, had=(), ways={"labels": LIVE}, strangers=strangers)
    assert step_of(result).action is Action.KEEP
    (warning,) = result.diagnostics
    assert warning.code == "server-kept-as-it-is"
    assert "labels are none, the workflow asks for t=web" in warning.message
    assert ("next plan" in warning.hint) == bool(adopt)


def test_there_and_different_in_what_stops_it_needs_permission() -> None:
    wanted = {"plan": "2xCPU-4GB"}
    assert refusal(planned(flow("a", **wanted), THERE, ways={"plan": STOPPED})) == "server-differs"
    result = planned(flow("a", replaces=True, **wanted), THERE, ways={"plan": STOPPED})
    assert told(result) == [Symbol.UPDATE]
    assert step_of(result).changes == (FieldChange("plan", "1xCPU-2GB", "2xCPU-4GB", stops=True),)


@pytest.mark.parametrize(
    ("wanted", "change"),
    [
        ({"zone": "fi-hel1"}, FieldChange("zone", "de-fra1", "fi-hel1")),
        ({"image": "debian-13"}, FieldChange("image", "debian-12", "debian-13")),
        ({"user_data": "#!/bin/sh"}, FieldChange("user_data", "another text", "the one in the file")),
        ({"ssh_keys": ("ssh-ed25519 AAAA ada",)}, FieldChange("ssh_keys", "none", "ada")),
    ],
)
def test_there_and_different_in_anything_else_is_replaced_with_permission(
    wanted: dict[str, Any], change: FieldChange
) -> None:
    assert refusal(planned(flow("a", **wanted), THERE)) == "server-differs"
    result = planned(flow("a", replaces=True, **wanted), THERE)
    assert told(result) == [Symbol.REPLACE]
    assert step_of(result).changes == (change,)
    assert step_of(result, "up/a!old").ref == "ref-a"


def test_there_and_gone_is_created_again_and_says_why() -> None:
    result = planned(flow("a"), recorded={"ref-a": replace(THERE, state=ServerState.GONE)})
    assert told(result) == [Symbol.CREATE]
    assert step_of(result).changes == (FieldChange(DESTROYED, "ref-a", known=False),)


def test_there_and_not_shown_is_refused_until_it_counts_as_gone() -> None:
    hidden = {"ref-a": replace(THERE, state=ServerState.NOT_VISIBLE)}
    assert refusal(planned(flow("a"), recorded=hidden)) == "server-not-visible"


def test_there_and_broken_is_replaced_with_permission() -> None:
    broken = replace(THERE, state=ServerState.BROKEN)
    assert refusal(planned(flow("a"), broken)) == "server-broken"
    result = planned(flow("a", replaces=True), broken)
    assert told(result) == [Symbol.REPLACE]
    assert step_of(result).changes == (FieldChange("state", "broken", "ready"),)


def test_there_and_stopping_is_refused() -> None:
    assert refusal(planned(flow("a", replaces=True), replace(THERE, state=ServerState.STOPPING))) == "server-stopping"


def with_other() -> tuple[Resource, Observed]:
    """A server b that the file does not ask for."""
    request = msgspec.to_builtins(replace(REQUEST, name="b"))
    return replace(HAD, name="b", ref="ref-b", request=request), replace(THERE, name="b", ref="ref-b")


def test_there_and_no_longer_wanted_goes_at_the_end_with_permission_else_is_named() -> None:
    other, seen = with_other()
    named = planned(flow("a"), THERE, seen, had=(HAD, other))
    assert (told(named), [one.code for one in named.diagnostics]) == ([Symbol.KEEP], ["not-in-file"])
    gone = planned(flow("a"), THERE, seen, had=(HAD, other), retire=Permission.ALLOWED)
    assert told(gone) == [Symbol.KEEP, Symbol.RETIRE]
    assert gone.plan is not None
    assert [one.id for one in gone.plan.operations[-1].dependencies] == ["up"]


def test_a_file_that_shares_no_server_with_the_environment_retires_only_on_request() -> None:
    other, seen = with_other()
    assert refusal(planned(flow("c"), seen, had=(other,), retire=Permission.ALLOWED)) == "environment-mismatch"
    assert told(planned(flow("c"), seen, had=(other,), retire=Permission.REQUESTED)) == [Symbol.CREATE, Symbol.RETIRE]


def test_gone_and_no_longer_wanted_is_forgotten_and_shown() -> None:
    other, seen = with_other()
    result = planned(
        flow("a"), THERE, had=(HAD, other), recorded={"ref-a": THERE, "ref-b": replace(seen, state=ServerState.GONE)}
    )
    assert [one.code for one in result.diagnostics] == ["destroyed-outside"]
    assert told(result) == [Symbol.KEEP, Symbol.RETIRE]
    assert result.plan is not None
    assert result.plan.steps[-1].gone
    assert plan_view(result.plan).lines[-1].details == ("was destroyed by someone else, and is forgotten",)


def test_an_account_that_is_another_one_now_is_refused_for_the_whole_plan() -> None:
    assert refusal(planned(flow("a"), had=(replace(HAD, account="another"),), recorded={})) == "account-changed"


def test_there_and_wanted_at_another_provider_is_replaced_across_providers() -> None:
    config = ServerConfig("a", "1xCPU-2GB", "de-fra1")
    wanted = workflow(ServerBatch("up", "aws", (config,)))
    assert refusal(planned(wanted, THERE)) == "server-differs"
    moved = planned(replace(wanted, changes=Changes(replace=Permission.ALLOWED)), THERE)
    assert told(moved) == [Symbol.REPLACE]
    assert (step_of(moved, "up/a!old").provider, step_of(moved).provider) == ("upcloud", "aws")
    assert step_of(moved).changes == (FieldChange("provider", "upcloud", "aws"),)


BORROWED = replace(HAD, borrowed=True, run="", token="")


def test_borrowed_is_kept_if_equal_and_refused_if_it_differs() -> None:
    assert told(planned(flow("a"), THERE, had=(BORROWED,))) == [Symbol.KEEP]
    assert refusal(planned(flow("a", replaces=True, zone="fi-hel1"), THERE, had=(BORROWED,))) == "server-differs"


def test_borrowed_and_no_longer_wanted_is_released_without_permission() -> None:
    other, seen = with_other()
    result = planned(flow("a"), THERE, seen, had=(HAD, replace(other, borrowed=True, run="", token="")))
    assert told(result) == [Symbol.KEEP, Symbol.RETIRE]
    (step,) = [one for one in result.plan.steps if one.retired is not None] if result.plan is not None else []
    assert step.retired is not None
    assert step.retired.run == ""
