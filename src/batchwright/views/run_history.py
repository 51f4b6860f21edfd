"""What a run's events say about when: the changes of each step, the lives of the processes that drove it, and pauses.

Everything carries the number of the event that made it known, so one history shows the run as it was after any event.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from operator import itemgetter

from msgspec import Struct
from msgspec.structs import replace

from batchwright.model import events as ev
from batchwright.model.fault import FaultClass
from batchwright.model.run import Run
from batchwright.views.display_state import BUSY, DisplayState, display_state
from batchwright.views.events import event_line
from batchwright.views.plan_index import plan_index

Change = tuple[int, float, DisplayState]  # event, time, and the state from then on

_MARKS = (
    *(ev.RunStarted, ev.RunPaused, ev.RunResumed, ev.CancelRequested, ev.RunStopping, ev.ProviderStopped),
    *(ev.RunEnded, ev.RunReopened, ev.DoubtForgotten, ev.RollbackStarted, ev.RollbackEnded),
)
_OF_MANY = (
    *(ev.DriverStarted, ev.RunEnded, ev.RunReopened, ev.DoubtForgotten, ev.RollbackStarted, ev.SweepEnded),
    *(ev.RunStarted, ev.RollbackEnded),
)  # events that may change many steps
_NOTED = frozenset(
    {ev.DriverStarted, *_MARKS, ev.StepSkipped, ev.GatePassed, ev.StepRetrying, ev.OperationOpened}
)  # that explain other steps than their own
MARKS_MOST = 200  # that one answer has: the newest


class HistoryMark(Struct, frozen=True):
    """Something that happened to the whole run. `type` is the event's tag."""

    seq: int
    at: float
    type: str
    text: str


class DriverLife(Struct, frozen=True):
    """A process that drove the run. `end` is 0 while it does, and "" is `why` then.

    `why` it ended: `killed`: calls were in flight; `stopped`: nothing was; `rested`: it let the run wait for people;
    `ended`: the run was over. What is known of a process that was killed ends with the last event that it wrote.
    """

    n: int
    host: str
    pid: int
    begin: float
    end: float = 0.0
    why: str = ""


class _Life(Struct):
    host: str
    pid: int
    seq: int
    begin: float
    end_seq: int = 0
    end: float = 0.0
    why: str = ""


class RunHistory:
    """Takes the events of a run in order. Reads take a `seq`: the run as it was after that event."""

    def __init__(self, created: ev.RunCreated) -> None:
        self.run = Run(created)
        self._slots = created.plan.parallel_limit
        self.shape = plan_index(created.plan)
        self.times = array("d", [created.at])  # of each event; never earlier than the one before
        self.changes: list[list[Change]] = [[] for _ in self.run.records]
        self.step_events: list[array[int]] = [array("L") for _ in self.run.records]
        self._marks: list[HistoryMark] = []
        self._lives: list[_Life] = []
        self._quiet: list[list[float]] = [[1, created.at, 0, 0.0]]  # events and times of begin and end
        self._busy: set[int] = set()
        self.run_events: list[tuple[int, ev.AnyEvent]] = []  # of the whole run, without sweeps and opened operations
        self.skips: dict[int, str] = {}  # events that skipped a step: what they name as the cause
        self.passed: set[int] = set()  # events of gates that only let the next wave by
        self.reopened: list[int] = []  # events
        self._opened: dict[int, list[int]] = {}  # operation -> events that opened it
        self._full: list[list[int]] = []  # from which event to which all slots were in use before each
        self._throttles: dict[str, tuple[array[int], array[float]]] = {}  # lane -> events and times

    @property
    def seq(self) -> int:
        """The last event that it knows."""
        return self.run.seq

    def take(self, event: ev.AnyEvent) -> None:
        """Add the next event; the first one is in it from the beginning."""
        last = self.times[-1]
        if len(self.run.in_flight) >= self._slots:
            self._note_full()
        i = self.run.apply(event)
        self.times.append(max(last, event.at))
        if type(event) in _NOTED:
            self._note_causes(event, i)
        if i is not None:
            self.step_events[i].append(self.seq)
            self._note(i, self.times[-1])
            self._go_on()
            return
        if isinstance(event, ev.DriverStarted):
            self._take_driver(event, last)
        elif isinstance(event, _OF_MANY):
            for one in range(len(self.changes)):
                self._note(one, self.times[-1])
        if isinstance(event, ev.RunEnded | ev.RollbackEnded) and self._lives:
            self._end_life(self.times[-1], "ended")
        if isinstance(event, _MARKS):
            tag = str(event.__struct_config__.tag)
            self._marks.append(HistoryMark(self.seq, self.times[-1], tag, event_line(event)))

    def _note_full(self) -> None:
        if self._full and self._full[-1][1] == self.seq:
            self._full[-1][1] += 1
        else:
            self._full.append([self.seq + 1, self.seq + 1])

    def _note_causes(self, event: ev.AnyEvent, i: int | None) -> None:
        """Note what the explanation of a step needs to know of other events than its own."""
        match event:
            case ev.StepSkipped(because=because):
                self.skips[self.seq] = because
            case ev.GatePassed():
                self.passed.add(self.seq)
            case ev.StepRetrying() if event.fault.kind is FaultClass.THROTTLE and i is not None:
                seqs, times = self._throttles.setdefault(self.run.lane(i), (array("L"), array("d")))
                seqs.append(self.seq)
                times.append(event.at)
            case ev.OperationOpened(operation=operation):
                self._opened.setdefault(self.run.operation_index[operation], []).append(self.seq)
            case ev.RunReopened():
                self.reopened.append(self.seq)
        if isinstance(event, (ev.DriverStarted, *_MARKS)):
            self.run_events.append((self.seq, event))

    def _take_driver(self, event: ev.DriverStarted, last: float) -> None:
        """The process before has not written anything since `last`, so that is when its calls became doubtful."""
        self._end_life(last, "rested" if event.rested else "killed" if self._busy else "stopped")
        rest, _, _ = event.driver.rpartition(":")
        host, _, pid = rest.rpartition(":")
        number = int(pid) if pid.isascii() and pid.isdigit() else 0
        self._lives.append(_Life(host or event.driver, number, self.seq, self.times[-1]))
        for i in self.run.in_flight:
            self._note(i, last)

    def _end_life(self, at: float, why: str) -> None:
        if self._lives and not self._lives[-1].end_seq:
            life = self._lives[-1]
            life.end_seq, life.end, life.why = self.seq, at, why

    def _go_on(self) -> None:
        """A step changes after the end of the run: the same process rolls it back."""
        if self._lives and self._lives[-1].why == "ended":
            life = self._lives[-1]
            self._lives.append(_Life(life.host, life.pid, self.seq, self.times[-1]))

    def _note(self, i: int, at: float) -> None:
        """Write down the state of a step if it is another than before."""
        changes = self.changes[i]
        state = display_state(self.run, i)
        if state is (changes[-1][2] if changes else DisplayState.WAITING):
            return
        changes.append((self.seq, at, state))
        if state in BUSY:
            if not self._busy and not self._quiet[-1][2]:
                self._quiet[-1][2:] = [self.seq, at]
            self._busy.add(i)
        elif i in self._busy:
            self._busy.discard(i)
            if not self._busy:
                self._quiet.append([self.seq, at, 0, 0.0])

    # -- reading ------------------------------------------------------------------------------------------------

    def at(self, seq: int) -> float:
        """When this event happened."""
        return self.times[seq - 1]

    def opened(self, operation: int) -> list[int]:
        """The events that opened an operation."""
        return self._opened.get(operation, [])

    def full_at(self, seq: int) -> float:
        """When all slots of the run were last in use, as it was before each event up to this one; 0.0: never."""
        at = bisect_right(self._full, seq, key=itemgetter(0)) - 1
        return self.times[min(seq, self._full[at][1]) - 1] if at >= 0 else 0.0

    def throttled_at(self, lane: str, seq: int) -> float:
        """When a call in this lane was last throttled, up to this event; 0.0: never."""
        seqs, times = self._throttles.get(lane, ((), ()))
        at = bisect_right(seqs, seq) - 1
        return times[at] if at >= 0 else 0.0

    def marks(self, seq: int) -> tuple[HistoryMark, ...]:
        """What happened to the whole run until then, the newest last."""
        return tuple(mark for mark in self._marks if mark.seq <= seq)[-MARKS_MOST:]

    def lives(self, seq: int, *, driven: bool) -> tuple[DriverLife, ...]:
        """The processes that drove the run until then; not `driven`: the last one does so no more."""
        found: list[DriverLife] = []
        before: tuple[str, int] | None = None
        n = 0
        for life in self._lives:
            if life.seq > seq:
                break
            n += (life.host, life.pid) != before
            before = (life.host, life.pid)
            over = 0 < life.end_seq <= seq
            end, why = (life.end, life.why) if over else (0.0, "")
            found.append(DriverLife(n, life.host, life.pid, life.begin, end, why))
        if found and not found[-1].why and not driven and seq == self.seq:
            found[-1] = replace(found[-1], end=self.at(seq), why="killed" if self._busy else "stopped")
        return tuple(found)

    def quiet(self, seq: int, now: float) -> Iterator[tuple[float, float]]:
        """From when to when nothing was going on, `now` being the end of what is looked at."""
        for first, begin, end_seq, end in self._quiet:
            if first > seq:
                return
            yield begin, end if 0 < end_seq <= seq else now

    def spans(self, i: int, seq: int, now: float) -> Iterator[tuple[float, float, DisplayState, DisplayState | None]]:
        """The states of a step until then: from, to, the state and the next one; None for the one that lasts."""
        since, state = 0.0, None
        for known, at, following in self.changes[i]:
            if known > seq:
                break
            if state is not None:
                yield since, at, state, following
            since, state = at, following
        if state is not None:
            yield since, now, state, None


def history_of(events: Iterable[ev.AnyEvent]) -> RunHistory:
    """The history of a whole journal."""
    iterator = iter(events)
    created = next(iterator)
    assert isinstance(created, ev.RunCreated)
    history = RunHistory(created)
    for event in iterator:
        history.take(event)
    return history
