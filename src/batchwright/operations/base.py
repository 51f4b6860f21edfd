"""What every operation type offers, without side effects. The code that acts is in engine/handlers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeVar

from msgspec import Struct

from batchwright.model.actions import Action
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.fault import FaultClass
from batchwright.model.lifecycle import StepState
from batchwright.model.plan import Request, Step
from batchwright.model.run_fold_state import StepFoldState
from batchwright.model.taskserv import Taskserv
from batchwright.model.workflow import Operation, ServerConfig, ServerPlace
from batchwright.operations.planner_state import Draft

Op = TypeVar("Op", bound=Operation)
FieldPath = tuple[str | int, ...]


class PortKind(StrEnum):
    """The port that carries a type's steps out."""

    PROVIDER = "provider"
    RUNNER = "runner"  # of the provider that a step's server lives at
    LAUNCHER = "launcher"  # of this machine, or of that provider
    NONE = "none"


class Wants(Struct, frozen=True):
    """What the pre-flight asks about one operation, read-only.

    `servers` are resolved and looked up by the operation's provider; `alternatives` are where else they may be created,
    which `alternatives_on` these refusals they are. `installed`: existing servers are asked what is
    installed on them. `program` is the operation if a launcher must find its program. `secrets`: values that may refer
    to secrets, by the name of their owner.
    """

    servers: tuple[ServerConfig, ...] = ()
    alternatives: tuple[ServerPlace, ...] = ()
    alternatives_on: tuple[FaultClass, ...] = ()
    installed: bool = False
    program: Any = None
    secrets: dict[str, Mapping[str, object]] = {}


class OperationType(ABC, Generic[Op]):
    """One operation type. Planning calls `place_servers`, `check` and `plan` of each type that a workflow uses.

    `lane` is the account whose limits its calls use, "" for that of the operation's provider; `at_once` is how many
    calls of that lane are under way at a time in one process, for all runs. `policy_group` is the list of its steps in
    the plan data that the operator's rules get.
    """

    name: ClassVar[str]
    operation: type[Op]
    request: ClassVar[type[Request]]
    actions: ClassVar[frozenset[Action]]  # of its steps
    policy_group: ClassVar[str]
    port: ClassVar[PortKind] = PortKind.NONE
    lane: ClassVar[str] = ""
    at_once: ClassVar[int] = 1
    targets_all: ClassVar[bool] = False  # without `targets`: all servers it depends on, and there must be one

    def written(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields of one operation as a workflow file has them, from those of its struct."""
        return fields

    # -- planning -----------------------------------------------------------------------------------------------

    def wants(self, _op: Op) -> Wants:
        """What the pre-flight asks about it."""
        return Wants()

    def providers(self, op: Op) -> tuple[str, ...]:
        """The providers whose servers or variants it uses."""
        return (op.provider,) if op.provider else ()

    def parts(self, _op: Op) -> dict[str, FieldPath]:
        """Where in the operation its named parts stand, for findings about one of them."""
        return {}

    def place_servers(self, draft: Draft) -> None:
        """Note in the draft which servers there will be."""

    def check(self, draft: Draft) -> None:
        """Find problems of the operations that do not depend on the pre-flight."""

    def step_count(self, _draft: Draft, _i: int) -> int:
        """How many steps of the operation with this index count, once it was checked; 0 if that is not known."""
        return 0

    def joins_servers(self, _draft: Draft, _i: int) -> bool:
        """Whether the operation with this index joins servers, so that what it does on one needs the others."""
        return False

    @abstractmethod
    def plan(self, draft: Draft) -> None:
        """Fill `draft.steps` of each operation of this type, unless a problem says why it has none."""

    def policy_data(self, _step: Step) -> dict[str, Any]:
        """What the operator's rules may know of a step's request besides its name; secrets only as references."""
        return {}

    def program(self, _step: Step) -> Any:
        """The CommandRequest of the program that a step runs, None if it runs none."""
        return None

    def unplanned(self, _draft: Draft) -> list[Diagnostic]:
        """What should have a step but has none, although no problem says why."""
        return []

    # -- words --------------------------------------------------------------------------------------------------

    def subject(self, step: Step) -> str:
        """What a step puts on a server or runs, without the server; "" if the step is about the server itself."""
        return step.request.name

    def about(self, _step: Step) -> str:
        """What a step creates, without its name, or what becomes of what it takes away; may be empty."""
        return ""

    @abstractmethod
    def does(self, step: Step, server: str) -> str:
        """What a step will do, for the plan; `server` is the name of the server it works on, "" for this machine."""

    @abstractmethod
    def undoes(self, step: Step, server: str) -> str:
        """What undoing a step would do, for the plan."""

    @abstractmethod
    def verb(self, action: Action) -> str:
        """What a step of this kind was planned to do: "create a server"."""

    @abstractmethod
    def started(self, step: Step, record: StepFoldState) -> str:
        """What a step is doing while its call is in progress or in doubt, in words."""

    def undoing(self, _step: Step) -> str:
        """What a step is doing while it is undone, in words."""
        return "being undone"

    def doing(self, step: Step, record: StepFoldState) -> str:
        """What is happening to a step now, in words."""
        match record.state:
            case StepState.STARTED:
                return self.started(step, record)
            case StepState.CREATED:
                return "created, waiting until it is ready"
            case StepState.UNDOING:
                return self.undoing(step)
            case StepState.SUCCEEDED if not record.made:
                return "existed before"
        return record.state.value.replace("_", " ")

    def residue(self, step: Step, ref: str) -> str:
        """What remains after a failed undo of a step, in words."""
        return f"what {step.id} did{f' to {ref}' if ref else ''}"

    def cannot_restore(self, _step: Step, _catalogue: Mapping[str, Taskserv]) -> str:
        """Why the undo of a step cannot bring back what was there before; empty if nothing is known to prevent it."""
        return ""

    def undo_target(self, _step: Step, record: StepFoldState) -> str:
        """The object of the undo, for the preview of a rollback: a reference, or a program with its arguments."""
        return record.ref

    doubt_note: ClassVar[str] = ""  # for the preview, of a step in doubt
