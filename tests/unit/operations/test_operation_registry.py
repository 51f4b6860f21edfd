"""Every operation type offers all that the rest of the package asks for, and its structs are read back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from batchwright.engine.handlers import HANDLERS
from batchwright.model.actions import TRAITS, Action, Doubt
from batchwright.model.plan import Request
from batchwright.model.workflow import Operation, Workflow
from batchwright.operations.base import OperationType, PortKind
from batchwright.operations.registry import TYPES, dec_hook, type_of
from batchwright.testing.plans import command, plan_of, servers, workflow

FLOW = workflow(servers("up", "a"), command("say", "true", after=["up"]))


def test_every_action_has_its_traits() -> None:
    assert set(TRAITS) == set(Action)


def test_every_type_has_its_handler() -> None:
    assert HANDLERS.keys() == {kind.name for kind in TYPES}


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_a_type_is_named_after_the_tag_of_its_operations(kind: OperationType[Any]) -> None:
    assert kind.operation.__struct_config__.tag == kind.name
    assert issubclass(kind.operation, Operation)
    assert issubclass(kind.request, Request)


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_calls_that_no_provider_limits_have_a_lane_of_their_own(kind: OperationType[Any]) -> None:
    assert (kind.lane == "") == (kind.port is PortKind.PROVIDER)


def test_an_operation_and_its_steps_are_of_one_type() -> None:
    plan = plan_of(FLOW, {})
    assert [type_of(op).name for op in FLOW.operations] == ["server_batch", "command"]
    assert [type_of(step).name for step in plan.steps] == ["server_batch", "command"]


def test_a_workflow_is_read_back_as_it_was() -> None:
    assert msgspec.json.decode(msgspec.json.encode(FLOW), type=Workflow, dec_hook=dec_hook) == FLOW


@pytest.mark.parametrize("tag", ["dns_batch", None])
def test_what_is_of_no_known_type_is_not_read(tag: str | None) -> None:
    bare = msgspec.to_builtins(FLOW)
    bare["operations"][0]["type"] = tag
    with pytest.raises(msgspec.ValidationError, match="expected one of server_batch, taskserv_batch, command"):
        msgspec.convert(bare, Workflow, dec_hook=dec_hook)


def test_an_idempotent_request_needs_nobody_to_settle_its_doubt() -> None:
    once, again = (
        plan_of(workflow(command("say", "true", idempotent=each)), {}).steps[0].doubt for each in (False, True)
    )
    assert (once, again) == (Doubt.ASK, Doubt.REPEAT)
