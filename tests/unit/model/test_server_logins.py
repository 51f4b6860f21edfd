"""Host keys and login keys of servers: from an event to the environment, and from there into the next plan."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from batchwright.model import events as ev
from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.environment_fold import turn_changes
from batchwright.model.plan import Plan
from batchwright.model.run import Run
from batchwright.model.run_snapshot import encode_snapshot, restore_run
from batchwright.model.ssh_access import ServerLogin
from batchwright.operations.registry import dec_hook
from batchwright.operations.server_batch import ServerRequest
from batchwright.operations.server_login import login_of, planned_login, recorded_login
from batchwright.plan import Observations, ProviderObserved
from batchwright.testing.plans import empty_world, plan_of, servers, workflow

SHARED, FIRST, OTHER = (f"ssh-ed25519 {word}" for word in ("AAAASHARED", "AAAAFIRST", "AAAAOTHER"))
STEP = "web/web-01"
FLOW = workflow(servers("web", "web-01"))


def planned(keeps: Observed | None = None, login: ServerLogin | None = None) -> Plan:
    world = empty_world(FLOW)
    observed = world.providers["upcloud"]
    requests = {name: replace(one, login=ServerLogin(SHARED)) for name, one in observed.requests.items()}  # type: ignore[type-var]
    seen: ProviderObserved = replace(observed, requests=requests)
    if keeps is not None:
        logins = {keeps.ref: login} if login is not None else {}
        seen = replace(seen, managed={keeps.name: (keeps,)}, logins=logins)
    return plan_of(FLOW, {}, Observations({"upcloud": seen}))


def run(plan: Plan, turn: int, *told: str, ref: str = "up-1", made: bool = True) -> Run:
    """A run that has ended well; `told` are the host keys that the provider told of its server."""
    one = Run(ev.RunCreated(1.0, f"run{turn}", plan, turn=turn))
    one.apply(ev.RunStarted(2.0))
    one.apply(ev.StepStarted(3.0, STEP, 1, "token"))
    if made:
        one.apply(ev.StepCreated(4.0, STEP, ref))
    one.apply(ev.StepSucceeded(5.0, STEP, ref, "10.0.0.1", made=made, host_keys=told))
    return one


def test_what_a_run_recorded_is_what_its_environment_knows() -> None:
    made = run(planned(), 1, FIRST)
    (resource,) = turn_changes({}, made, 1).resources.values()
    assert recorded_login(resource) == login_of(made.plan.steps[0], made.records[0]) == ServerLogin(SHARED, (FIRST,))
    again = restore_run(made.created, encode_snapshot(made))
    assert again.records[0].host_keys == (FIRST,)


def test_the_first_host_key_counts_whatever_is_told_later() -> None:
    """A label can be edited by whoever may change the account; what the journal has cannot."""
    before = turn_changes({}, run(planned(), 1, FIRST), 1).resources
    seen = Observed("up-1", ServerState.READY, "web-01", "run1", plan="1xCPU-2GB", zone="de-fra1", host_keys=(OTHER,))
    kept = planned(seen, recorded_login(next(iter(before.values()))))
    later = run(kept, 2, OTHER, made=False)
    assert login_of(kept.steps[0], later.records[0]) == ServerLogin(SHARED, (FIRST,))
    change = turn_changes(before, later, 2)
    assert recorded_login(next(iter(change.resources.values()))) == ServerLogin(SHARED, (FIRST,))
    assert not change.contributed, "to look at a server is no change that a later run builds on"


def test_a_server_of_before_is_recorded_by_the_run_that_keeps_it() -> None:
    before = turn_changes({}, run(planned(), 1), 1).resources
    assert recorded_login(next(iter(before.values()))).host_keys == ()
    seen = Observed("up-1", ServerState.READY, "web-01", "run1", plan="1xCPU-2GB", zone="de-fra1", host_keys=(FIRST,))
    later = run(planned(seen, ServerLogin(SHARED)), 2, FIRST, made=False)
    change = turn_changes(before, later, 2)
    assert recorded_login(next(iter(change.resources.values()))) == ServerLogin(SHARED, (FIRST,))
    assert not change.contributed


def test_a_server_in_its_place_has_a_host_key_of_its_own() -> None:
    before = turn_changes({}, run(planned(), 1, FIRST), 1).resources
    after = turn_changes(before, run(planned(), 2, OTHER, ref="up-2"), 2).resources
    assert [recorded_login(one) for one in after.values()] == [ServerLogin(SHARED, (OTHER,))]


def test_a_kept_server_lets_in_the_key_that_it_was_created_with() -> None:
    """Not the operator's of today: no key is put onto a server that exists."""
    seen = Observed("up-1", ServerState.READY, "web-01", "run1", plan="1xCPU-2GB", zone="de-fra1")
    assert planned_login(planned().steps[0].request) == ServerLogin(SHARED)
    assert planned_login(planned(seen).steps[0].request) == ServerLogin()
    assert planned_login(planned(seen, ServerLogin(OTHER)).steps[0].request) == ServerLogin(OTHER)


def test_plans_and_events_of_before_read_as_ever_and_keep_their_hash() -> None:
    plan = plan_of(FLOW, {}, empty_world(FLOW))
    encoded = msgspec.json.encode(plan)
    assert b"login" not in encoded
    assert b"host_keys" not in encoded
    again = msgspec.json.decode(encoded, type=Plan, dec_hook=dec_hook)
    assert again.hash() == plan.hash()
    assert isinstance(again.steps[0].request, ServerRequest)
    old = b'{"type":"step_succeeded","at":5.0,"step":"web/web-01","ref":"up-1"}'
    assert msgspec.json.decode(old, type=ev.StepSucceeded).host_keys == ()
    assert planned().hash() != plan.hash(), "which key a server lets in is part of what is approved"
