"""A plan: its hash, and what of its steps callers who may only read are shown."""

from __future__ import annotations

from msgspec.structs import replace

from batchwright.journal.event_codec import decode, encode
from batchwright.model import events as ev
from batchwright.model.plan import Before
from batchwright.operations.server_batch import ServerRequest
from tests.unit.engine.stage import QUICK, keeps, plan_of, servers, updates

OLD = replace(plan_of(QUICK, servers("up", "a"), keeps("old", {"k": "kept-1"})), semantics=2)


def test_a_plan_that_changes_nothing_in_place_keeps_the_hash_of_before() -> None:
    assert OLD.hash() == "f8f4e15842011beb"


def test_what_stands_there_is_part_of_the_hash_and_of_the_journal() -> None:
    small, other = (plan_of(QUICK, updates("big", {"u": "r8"}, plan=size)) for size in ("2xCPU-4GB", "4xCPU-8GB"))
    step = small.steps[0]
    again = replace(small, steps=(replace(step, before=Before(step.request)),))
    assert len({small.hash(), other.hash(), again.hash()}) == 3
    created = ev.RunCreated(1.0, "run", small)
    assert decode(encode(created)) == created


def test_user_data_is_shown_to_nobody_who_may_only_read() -> None:
    step = plan_of(QUICK, updates("big", {"u": "r8"}, plan="2xCPU-4GB")).steps[0]
    with_secret = replace(step, before=Before(ServerRequest("u", "small", "eu", user_data="password: hunter2")))
    assert "hunter2" not in str(with_secret.public())
