"""Approvals: people are asked before what depends on one runs. Gates between waves have the same request."""

from __future__ import annotations

from typing import Any, Self

from msgspec import Struct

from batchwright.model.actions import Action, Undo
from batchwright.model.plan import Hold, Request, Step
from batchwright.model.run_fold_state import StepFoldState
from batchwright.model.templates import Value, filled, named
from batchwright.model.workflow import Dependency, OnExpiry, OnFailure, Operation, Retry
from batchwright.operations.base import OperationType
from batchwright.operations.planner_state import Draft


class Approval(Operation, Struct, frozen=True, tag_field="type", tag="approval"):
    """Asks people; `of` are the names of access tokens, or roles, that may answer, and `quorum` is how many must agree.

    `expires` is in seconds, 0: the question stays open.
    """

    id: str
    ask: str
    of: tuple[str, ...] = ()
    quorum: int = 1
    expires: float = 0.0
    on_expiry: OnExpiry = OnExpiry.FAIL
    dependencies: tuple[Dependency, ...] = ()
    retry: Retry = Retry()
    timeout: float = 0.0
    on_failure: OnFailure | None = None
    when: dict[str, str] = {}


class HoldRequest(Request, Struct, frozen=True, gc=False, omit_defaults=True, tag_field="kind", tag="hold"):
    """The question that people are asked. Without one it is the gate of a wave, which opens by itself."""

    name: str
    ask: str = ""
    references: tuple[str, ...] = ()
    values: dict[str, Value] = {}

    @classmethod
    def of(cls, name: str, ask: str) -> Self:
        """The request of an approval; a text without references is written out."""
        found = named((ask,))
        return cls(name, ask, found) if found else cls(name, filled(ask, {}))

    @property
    def question(self) -> str:
        """The question, with the values that are known."""
        return filled(self.ask, self.values) if self.references else self.ask


class ApprovalType(OperationType[Approval]):
    """A question to people."""

    name = "approval"
    operation = Approval
    request = HoldRequest
    actions = frozenset({Action.ASK, Action.GATE})
    policy_group = "approvals"
    lane = "approvals"

    def written(self, fields: dict[str, Any]) -> dict[str, Any]:
        left_out = {"retry", "timeout"} if fields["expires"] else {"retry", "timeout", "expires"}
        return {name: value for name, value in fields.items() if name not in left_out}

    def plan(self, draft: Draft) -> None:
        for i, op in draft.of(Approval):
            hold = Hold(op.of, op.quorum, op.expires, go_on=op.on_expiry is OnExpiry.GO_ON)
            request = HoldRequest.of(op.id, op.ask)
            draft.steps[i] = [
                Step(f"{op.id}/ask", op.id, "", Action.ASK, Undo.NOTHING, request, seconds=0.0, hold=hold)
            ]

    def subject(self, step: Step) -> str:
        return _request(step).question or _request(step).name

    def does(self, step: Step, _server: str) -> str:
        request = _request(step)
        if step.hold is None:
            return f"begin wave {step.wave}"
        people = f"{step.hold.quorum} people" if step.hold.quorum > 1 else "somebody"
        return f"ask {people}: {request.question}"

    def undoes(self, _step: Step, _server: str) -> str:
        return "nothing: it only asks"

    def verb(self, action: Action) -> str:
        return "begin a wave" if action is Action.GATE else "ask for approval"

    def started(self, _step: Step, _record: StepFoldState) -> str:
        return "waits for approval"


def _request(step: Step) -> HoldRequest:
    assert isinstance(step.request, HoldRequest)
    return step.request
