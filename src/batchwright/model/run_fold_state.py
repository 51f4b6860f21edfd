"""Everything that is known about one run and its steps, as plain attributes. Only model/fold.py changes it."""

from __future__ import annotations

from msgspec import Struct

from batchwright.errors import StepNotFound
from batchwright.model import events as ev
from batchwright.model.fault import Fault
from batchwright.model.lifecycle import STEP_IN_FLIGHT, CancelMode, RunState, StepState
from batchwright.model.plan import Plan
from batchwright.model.templates import Value


class StepFoldState(Struct, gc=False, omit_defaults=True):
    """What is known about one step. Times are seconds since the epoch, 0 when it has not happened.

    `failures` counts the attempts that used up a retry; `attempt` counts every send. `doubt`: a call was sent and its
    outcome is not known; `crashed`: because the driver died. `stale`: created but unusable, to be destroyed.
    `known_at`: when the reference of its server was written down.
    `turn`: the environment's turn in which it last changed anything; `made_turn`: the one in which it succeeded.
    `outputs`: the values that a command gave. `place`: the one of the step's places that counts now.
    """

    state: StepState = StepState.WAITING
    attempt: int = 0
    failures: int = 0
    generation: int = 0
    throttles: int = 0
    ref: str = ""
    stale: str = ""
    address: str = ""
    host_keys: tuple[str, ...] = ()  # of its server
    started_at: float = 0.0
    attempt_at: float = 0.0
    known_at: float = 0.0
    ended_at: float = 0.0
    until: float = 0.0
    made: bool = False
    doubt: bool = False
    doubt_at: float = 0.0
    crashed: bool = False
    undo_attempt: int = 0
    undo_failures: int = 0
    gone: bool = False  # nothing was undone: its server was no longer there
    fault: Fault | None = None
    reason: str = ""
    because: str = ""
    said: str = ""  # the last line of its output
    turn: int = 0
    made_turn: int = 0
    answer: str = ""  # of a command that names its exit codes
    outputs: dict[str, str] = {}
    place: int = 0


class HoldFoldState(Struct, gc=False, omit_defaults=True):
    """The newest question that a step asked: its number, its digest, when it expires and who answered."""

    ask: int
    hash: str
    asked_at: float
    until: float = 0.0
    answers: tuple[ev.HoldAnswered, ...] = ()


class RunFoldState:
    """The sum of the events so far; `in_flight`, `counts` and `gates` are indices over `records`.

    `counts` has for each operation how many of its steps are in each state; `gates` are not counted. `operation_steps`
    are the steps of each operation, gates included. `steps` are those of the plan as they are carried out: `moved` are
    the ones that are at another place than the first.
    """

    def __init__(self, created: ev.RunCreated) -> None:
        self.id = created.run
        self.plan: Plan = created.plan
        self.created = created
        self.turn = created.turn  # its newest turn in the environment; 0 if it began before there were any
        self.seq = 1
        self.status = RunState.PENDING
        self.created_at = self.updated_at = created.at
        self.started_at = self.ended_at = 0.0
        self.reason = ""
        self.driver = ""
        self.driven_at = created.at  # when that driver began
        self.clock_ahead = 0.0  # see DriverStarted
        self.restarts = 0  # drivers that took over from one that died
        self.cancelling = CancelMode.NO
        self.stopping = ""  # the step whose failure stopped the run
        self.rollback_after_stop = False
        self.rolled_back_by = ""
        self.rolled_back_automatically = False
        self.stopped_lanes: dict[str, Fault] = {}
        self.swept: set[str] = set()
        self.sweeps: dict[str, int] = {}  # lane -> rounds so far
        self.sweep_faults: dict[str, Fault] = {}
        self.strays_found = 0
        self.sent_lanes: dict[str, int] = {}  # lanes in which servers may have been created -> the first such step
        self.doubtful: dict[str, float] = {}  # lane -> when a call in it was last in doubt
        self.residue: tuple[str, ...] = ()
        self.failed_operations: dict[str, str] = {}  # that cannot succeed any more -> the step that made it certain
        self.holds: dict[str, HoldFoldState] = {}  # by step
        self.continued_by = ""  # the principal that reopened it last
        self.heard = 0  # the number of the newest signal that brought an answer
        self.values: dict[str, dict[str, Value]] = {}  # operation -> what its references stand for
        self.opened: set[str] = set()  # the operations whose steps start with these values
        self.retries = self.throttles = 0
        self.provider_retries: dict[str, int] = {}
        self.provider_throttles: dict[str, int] = {}
        self.index = {step.id: i for i, step in enumerate(self.plan.steps)}
        self.records = [StepFoldState() for _ in self.plan.steps]
        self.derive()

    def derive(self) -> None:
        """Build the indices that follow from the plan and the records."""
        self.operation_index = {op.id: i for i, op in enumerate(self.plan.operations)}
        self.step_operation = [self.operation_index[step.operation] for step in self.plan.steps]
        self.counts: list[dict[StepState, int]] = [{} for _ in self.plan.operations]
        self.totals = dict.fromkeys(StepState, 0)  # of all operations
        self.gates: list[list[int]] = [[] for _ in self.plan.operations]
        self.operation_steps: list[list[int]] = [[] for _ in self.plan.operations]
        self.in_flight: dict[int, None] = {}
        self.counted = [step.counted for step in self.plan.steps]
        self.steps = list(self.plan.steps)
        self.moved: dict[int, None] = {}
        self.scopes: dict[int, tuple[int, ...]] = {}  # what questions let through, as far as that was looked up
        for i, record in enumerate(self.records):
            self.operation_steps[self.step_operation[i]].append(i)
            if self.counted[i]:
                counts = self.counts[self.step_operation[i]]
                counts[record.state] = counts.get(record.state, 0) + 1
                self.totals[record.state] += 1
            else:
                self.gates[self.step_operation[i]].append(i)
            if record.state in STEP_IN_FLIGHT:
                self.in_flight[i] = None
            if record.place:
                self.put(i, record.place)

    def put(self, index: int, place: int) -> None:
        """Carry a step out at one of its places from now on."""
        self.records[index].place = place
        self.steps[index] = self.plan.steps[index].at(place)
        if place:
            self.moved[index] = None
        else:
            self.moved.pop(index, None)

    def step(self, step: str) -> int:
        """The index of a step. Raises StepNotFound."""
        try:
            return self.index[step]
        except KeyError:
            raise StepNotFound(f"run {self.id} has no step {step!r}") from None

    def lane(self, index: int) -> str:
        """The account whose limits this step's calls use."""
        if index in self.moved:
            return self.steps[index].provider
        return self.plan.operations[self.step_operation[index]].lane
