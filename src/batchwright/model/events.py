"""Everything that can happen to a run, one frozen class each. The journal holds these and nothing else."""

from __future__ import annotations

from msgspec import Struct

from batchwright.model.lifecycle import RunState
from batchwright.model.outcome import Fault
from batchwright.model.plan import Plan


class Event(Struct, frozen=True, tag_field="type", omit_defaults=True, gc=False):
    """`at` is when it happened, in seconds since the epoch, by the clock of the process that drives the run."""

    at: float


class RunCreated(Event, frozen=True, tag="run_created"):
    """A plan was accepted; from here on it is the only thing that is applied.

    `key` is the Idempotency-Key it was submitted under, `digest` tells what was submitted with it. `client`: a client
    of a service handed it in, so it has the rights of one; None in journals from before this was noted. `source` is a
    digest of the workflow that was planned, empty where it was not noted.
    """

    run: str
    plan: Plan
    by: str = ""
    key: str = ""
    digest: str = ""
    client: bool | None = None
    source: str = ""


class DriverStarted(Event, frozen=True, tag="driver_started"):
    """A process began to drive the run; calls that were open under an earlier driver are in doubt."""

    driver: str
    fence: int


class RunStarted(Event, frozen=True, tag="run_started"):
    """The first step may start."""


class RunPaused(Event, frozen=True, tag="run_paused"):
    """Nothing new is started until it is resumed."""

    by: str = ""


class RunResumed(Event, frozen=True, tag="run_resumed"):
    """A paused run goes on."""

    by: str = ""


class CancelRequested(Event, frozen=True, tag="cancel_requested"):
    """The run is to end; with `force` without waiting for what is in flight."""

    by: str = ""
    force: bool = False


class RunStopping(Event, frozen=True, tag="run_stopping"):
    """A failure whose `on_failure` says that nothing new is to be started."""

    step: str
    rollback: bool = False


class ProviderStopped(Event, frozen=True, tag="provider_stopped"):
    """Quota, billing or credentials: nothing more can be made in this lane; what exists is kept."""

    lane: str
    fault: Fault


class RunEnded(Event, frozen=True, tag="run_ended"):
    """Completed, Failed or Cancelled."""

    status: RunState
    reason: str = ""


class RunReopened(Event, frozen=True, tag="run_reopened"):
    """A Failed or Cancelled run goes on with what is not done.

    `redo`: commands whose outcome nobody knows, and that are run again; `skip`: commands that are taken as done.
    """

    by: str = ""
    redo: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()


class RollbackStarted(Event, frozen=True, tag="rollback_started"):
    """What the run made is to be undone, in reverse order.

    `automatic`: nobody asked, an operation's `on_failure` did. None in journals from before this was recorded.
    """

    by: str = ""
    reason: str = ""
    automatic: bool | None = None


class RollbackEnded(Event, frozen=True, tag="rollback_ended"):
    """RolledBack, or RollbackIncomplete with what is left."""

    status: RunState
    residue: tuple[str, ...] = ()


class StepStarted(Event, frozen=True, tag="step_started"):
    """The intent: the call with this token is about to be sent. `attempt` counts all sends of this step."""

    step: str
    attempt: int
    token: str


class StepInDoubt(Event, frozen=True, tag="step_in_doubt"):
    """The call was sent and its outcome is unknown; the provider is asked."""

    step: str
    attempt: int
    reason: str


class StepOutput(Event, frozen=True, tag="step_output"):
    """What the call said meanwhile, in whole lines and without secrets. `undo`: said by an undo."""

    step: str
    attempt: int
    lines: tuple[str, ...]
    undo: bool = False


class StepCreated(Event, frozen=True, tag="step_created"):
    """The server exists under this reference and is waited for. `settled`: found again after doubt."""

    step: str
    ref: str
    settled: bool = False


class StepSucceeded(Event, frozen=True, tag="step_succeeded"):
    """Done. `made` is false when it was there before, and then it is never rolled back."""

    step: str
    ref: str = ""
    address: str = ""
    made: bool = True
    settled: bool = False


class StepRetrying(Event, frozen=True, tag="step_retrying"):
    """Tried again at `until`. `counted` is false for a throttle or a crash; `replace`: what was made is no good;
    `doubt`: the last call's outcome is still unknown."""

    step: str
    attempt: int
    until: float
    fault: Fault
    counted: bool = True
    replace: bool = False
    doubt: bool = False


class StepFailed(Event, frozen=True, tag="step_failed"):
    """Given up. `doubt`: the last call's outcome is still unknown."""

    step: str
    attempt: int
    fault: Fault
    doubt: bool = False


class StepSkipped(Event, frozen=True, tag="step_skipped"):
    """Not run; `because` names the operation, step or lane that is the cause."""

    step: str
    reason: str
    because: str


class UndoStarted(Event, frozen=True, tag="undo_started"):
    """The intent to undo: the call is about to be sent."""

    step: str
    attempt: int


class UndoRetrying(Event, frozen=True, tag="undo_retrying"):
    """The undo is tried again at `until`."""

    step: str
    attempt: int
    until: float
    fault: Fault


class StepUndone(Event, frozen=True, tag="step_undone"):
    """What the step made is gone. `with_server`: it went with the server it was on."""

    step: str
    with_server: bool = False


class UndoFailed(Event, frozen=True, tag="undo_failed"):
    """It could not be removed: residue."""

    step: str
    attempt: int
    fault: Fault


class SweepStarted(Event, frozen=True, tag="sweep_started"):
    """Everything in this lane that carries the run's label is looked at."""

    lane: str


class OrphanFound(Event, frozen=True, tag="stray_found"):
    """Something carries the run's label and is not what the journal knows: it is to be destroyed.

    `shared`: it is no orphan, but what servers of the run had in common (a group, a key) and now need no more.
    """

    lane: str
    ref: str
    name: str = ""
    shared: bool = False


class StrayGone(Event, frozen=True, tag="stray_gone"):
    """The stray is gone, or `fault` says why it is not."""

    lane: str
    ref: str
    fault: Fault | None = None


class SweepEnded(Event, frozen=True, tag="sweep_ended"):
    """The lane holds what the journal knows and nothing else, or `fault` says why that is not certain."""

    lane: str
    fault: Fault | None = None


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
    | RollbackStarted
    | RollbackEnded
    | StepStarted
    | StepInDoubt
    | StepOutput
    | StepCreated
    | StepSucceeded
    | StepRetrying
    | StepFailed
    | StepSkipped
    | UndoStarted
    | UndoRetrying
    | StepUndone
    | UndoFailed
    | SweepStarted
    | OrphanFound
    | StrayGone
    | SweepEnded
)
