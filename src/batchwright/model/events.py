"""The events of a run, one frozen class each. A journal holds these and nothing else."""

from __future__ import annotations

from msgspec import Struct, field

from batchwright.model.event import Event
from batchwright.model.fault import Fault
from batchwright.model.gate_events import (
    GatePassed,
    HoldAnswered,
    HoldAsked,
    HoldExpired,
    HoldGranted,
    HoldPassed,
    HoldRefused,
)
from batchwright.model.lifecycle import RunState
from batchwright.model.placement_event import MoveReason, StepMoved
from batchwright.model.plan import Plan
from batchwright.model.run_provenance import RunInputs
from batchwright.model.sweep_events import OrphanFound, OrphanRemovalEnded, SweepEnded, SweepStarted
from batchwright.model.templates import Value

__all__ = [  # beside the events that are defined here
    "Event",
    "GatePassed",
    "HoldAnswered",
    "HoldAsked",
    "HoldExpired",
    "HoldGranted",
    "HoldPassed",
    "HoldRefused",
    "MoveReason",
    "OrphanFound",
    "OrphanRemovalEnded",
    "StepMoved",
    "SweepEnded",
    "SweepStarted",
]


class RunCreated(Event, frozen=True, tag="run_created"):
    """A plan was accepted; the run applies this plan and nothing else.

    `key` is the Idempotency-Key of the submission and `digest` the digest of its content. `client`: submitted by a
    client of a service, so the run has only a client's rights; None in journals older than this field. `source` is a
    digest of the planned workflow; empty in journals older than this field. `turn` is the run's first turn in its
    environment and `after` the run that was the environment's newest then; 0 in journals older than environments.
    `inputs` is what it was planned from; None in journals older than this field. `principal` identifies who submitted
    it, as `Principal.id`; empty in journals older than this field.
    """

    run: str
    plan: Plan
    by: str = ""
    key: str = ""
    digest: str = ""
    client: bool | None = None
    source: str = ""
    turn: int = 0
    after: str = ""
    inputs: RunInputs | None = None
    principal: str = ""


class DriverStarted(Event, frozen=True, tag="driver_started"):
    """A process started to drive the run; calls left open by an earlier driver are in doubt.

    `clock_ahead`: by how many seconds its clock is ahead of the run's last event, if that is long and people are being
    asked: nothing happened for so long, or the clock was set forward. `rested`: this process let the run rest while
    it only waited for people.
    """

    driver: str
    fence: int
    clock_ahead: float = 0.0
    rested: bool = False


class RunStarted(Event, frozen=True, tag="run_started"):
    """The run left Pending; its first steps may start."""


class RunPaused(Event, frozen=True, tag="run_paused"):
    """No new step starts until the run is resumed."""

    by: str = ""


class RunResumed(Event, frozen=True, tag="run_resumed"):
    """A paused run continues."""

    by: str = ""


class CancelRequested(Event, frozen=True, tag="cancel_requested"):
    """The run was asked to end. `force`: without waiting for calls in flight."""

    by: str = ""
    force: bool = False


class RunStopping(Event, frozen=True, tag="run_stopping"):
    """A step failed and its `on_failure` stops the run: no new step starts. `rollback`: the run is then rolled back."""

    step: str
    rollback: bool = False


class ProviderStopped(Event, frozen=True, tag="provider_stopped"):
    """Quota, billing or credentials stop this lane: nothing more is created in it, and what exists is kept."""

    lane: str
    fault: Fault


class RunEnded(Event, frozen=True, tag="run_ended"):
    """The run ended as Completed, Failed or Cancelled."""

    status: RunState
    reason: str = ""


class RunReopened(Event, frozen=True, tag="run_reopened"):
    """A Failed or Cancelled run continues with its unfinished steps.

    `redo`: commands in doubt to run again; `skip`: commands in doubt to count as done, and `outputs` the values that
    they gave, by step. `turn` is the new turn in the environment that this begins, 0 if the run still has its turn.
    `principal` as in RunCreated.
    """

    by: str = ""
    redo: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    turn: int = 0
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    principal: str = ""


class DoubtForgotten(Event, frozen=True, tag="doubt_forgotten"):
    """A person gave up on the calls of unknown outcome in this lane: their provider is gone for good.

    `servers` may exist there without any run that knows them. `turn` as in RunReopened.
    """

    lane: str
    by: str = ""
    servers: tuple[str, ...] = ()
    turn: int = 0


class RollbackStarted(Event, frozen=True, tag="rollback_started"):
    """A rollback started: it undoes what the run created and changed, in reverse order.

    `automatic`: started by an operation's `on_failure`, not by a person; None in journals older than this field.
    `turn` as in RunReopened.
    """

    by: str = ""
    reason: str = ""
    automatic: bool | None = None
    turn: int = 0


class RollbackEnded(Event, frozen=True, tag="rollback_ended"):
    """The rollback ended as RolledBack, or as RollbackIncomplete; `residue` lists the steps that remain."""

    status: RunState
    residue: tuple[str, ...] = ()


class OperationOpened(Event, frozen=True, tag="operation_opened"):
    """The first step of the operation is about to start, and this is what the references in its texts stand for.

    All its steps use these values, also when they are repeated or undone. Only those about a step's own server are not
    among them. An operation without references has no such event.
    """

    operation: str
    values: dict[str, Value]


class StepStarted(Event, frozen=True, tag="step_started"):
    """The intent, written before the call with this token is sent. `attempt` counts all sends of this step."""

    step: str
    attempt: int
    token: str


class StepInDoubt(Event, frozen=True, tag="step_in_doubt"):
    """The call was sent and its outcome is unknown; the provider is asked what happened."""

    step: str
    attempt: int
    reason: str


class StepOutput(Event, frozen=True, tag="step_output"):
    """Output of the call, in whole lines, with secrets removed. `undo`: it is the output of an undo."""

    step: str
    attempt: int
    lines: tuple[str, ...]
    undo: bool = False


class StepCreated(Event, frozen=True, tag="step_created"):
    """The server exists under this reference but is not ready yet. `settled`: it was found after doubt.

    `changed`: it was there before and has been changed.
    """

    step: str
    ref: str
    settled: bool = False
    changed: bool = False


class StepSucceeded(Event, frozen=True, tag="step_succeeded"):
    """The step is done. `made` is false if the resource existed before; then it is never rolled back.

    `host_keys` are the SSH host keys of a server, as its provider tells them; empty if it does not, and in journals
    older than this field. `answer` is the name that a command gave its exit code, if it names them, and `outputs` are
    the values that it gave.
    """

    step: str
    ref: str = ""
    address: str = ""
    made: bool = True
    settled: bool = False
    host_keys: tuple[str, ...] = ()
    answer: str = ""
    outputs: dict[str, str] = field(default_factory=dict)


class StepRetrying(Event, frozen=True, tag="step_retrying"):
    """The step is tried again at `until`. `counted` is false after a throttle or a crash, which cost no attempt;
    `replace`: the server is unusable and a new one replaces it; `doubt`: the last call's outcome is still unknown."""

    step: str
    attempt: int
    until: float
    fault: Fault
    counted: bool = True
    replace: bool = False
    doubt: bool = False


class Twin(Struct, frozen=True):
    """A server of the same name in the same account, and the run that created it."""

    ref: str
    run: str


class StepFailed(Event, frozen=True, tag="step_failed"):
    """The step failed for good. `doubt`: the last call's outcome is still unknown.

    `stale`: its server was created but must not be used, and is destroyed; `twin` is the other run's server that it
    gave way to.
    """

    step: str
    attempt: int
    fault: Fault
    doubt: bool = False
    twin: Twin | None = None
    stale: bool = False


class StepSkipped(Event, frozen=True, tag="step_skipped"):
    """The step will not run; `because` names the operation, step or lane that is the cause."""

    step: str
    reason: str
    because: str


class StepNotWanted(Event, frozen=True, tag="step_not_wanted"):
    """The step is not to run, and that is no failure; `because` names the operation or step that says so."""

    step: str
    reason: str
    because: str


class OperationFailed(Event, frozen=True, tag="operation_failed"):
    """Too many of its steps failed: whatever happens, the operation cannot succeed. `because` is the last of them."""

    operation: str
    because: str


class UndoStarted(Event, frozen=True, tag="undo_started"):
    """The intent to undo, written before the call is sent."""

    step: str
    attempt: int


class UndoRetrying(Event, frozen=True, tag="undo_retrying"):
    """The undo is tried again at `until`."""

    step: str
    attempt: int
    until: float
    fault: Fault


class StepUndone(Event, frozen=True, tag="step_undone"):
    """What the step created is gone, and what it changed is as before. `with_server`: it went together with its server.

    `gone`: nothing was done, since the server was no longer there. `address` is that of a server that was changed back.
    """

    step: str
    with_server: bool = False
    gone: bool = False
    address: str = ""


class UndoFailed(Event, frozen=True, tag="undo_failed"):
    """The undo failed for good: what the step created remains as residue."""

    step: str
    attempt: int
    fault: Fault


AnyEvent = (
    RunCreated
    | DriverStarted
    | RunStarted
    | RunPaused
    | RunResumed
    | CancelRequested
    | RunStopping
    | ProviderStopped
    | RunEnded
    | RunReopened
    | DoubtForgotten
    | RollbackStarted
    | RollbackEnded
    | OperationOpened
    | StepStarted
    | StepInDoubt
    | StepOutput
    | StepCreated
    | StepSucceeded
    | StepRetrying
    | StepMoved
    | StepFailed
    | StepSkipped
    | StepNotWanted
    | OperationFailed
    | GatePassed
    | HoldAsked
    | HoldAnswered
    | HoldGranted
    | HoldPassed
    | HoldRefused
    | HoldExpired
    | UndoStarted
    | UndoRetrying
    | StepUndone
    | UndoFailed
    | SweepStarted
    | OrphanFound
    | OrphanRemovalEnded
    | SweepEnded
)
