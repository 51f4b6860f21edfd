"""The closing sweep: at the end of a run or a rollback, only what the journal knows may carry the run's label.

Pure. A lane is swept in rounds until a round finds nothing to destroy.
"""

from __future__ import annotations

from batchwright.engine import effects, reports
from batchwright.engine.policy import POLICIES
from batchwright.model import events as ev
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.run import Run

ROUNDS_MAX = 20


class ClosingSweep:
    """The lanes that are still to be swept. After a crash a lane's sweep starts again, which is harmless."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._before = dict(run.sweeps)
        self.looking: set[str] = set()
        self.strays: dict[str, dict[str, str]] = {}
        self._stuck: dict[str, Fault] = {}  # lane -> why an orphan in it can never be removed

    @property
    def lanes(self) -> list[str]:
        """Every lane in which the run sent a create call."""
        return sorted(self.run.sent_lanes, key=self.run.sent_lanes.__getitem__)

    @property
    def finished(self) -> bool:
        """Whether every lane has been swept, or given up with a fault."""
        return all(lane in self.run.swept for lane in self.lanes)

    @property
    def faults(self) -> dict[str, Fault]:
        """The lanes that may still hold orphans, each with the reason."""
        return self.run.sweep_faults

    def decide(self, now: float) -> list[ev.AnyEvent]:
        """Begin the next round of each lane without a round in progress."""
        idle = [x for x in self.lanes if x not in self.run.swept and x not in self.looking and not self.strays.get(x)]
        return [ev.SweepStarted(now, lane) for lane in idle]

    def after(self, event: ev.AnyEvent) -> list[effects.Command]:
        """Update the state with an event that the fold has applied; gives the commands that follow."""
        match event:
            case ev.SweepStarted(lane=lane):
                self.looking.add(lane)
                return [effects.Sweep(lane, self.run.sweeps[lane])]
            case ev.OrphanFound(lane=lane, ref=ref, name=name):
                self.looking.discard(lane)
                self.strays.setdefault(lane, {})[ref] = name
                return [effects.DestroyOrphan(lane, ref)]
            case ev.OrphanRemovalEnded(lane=lane, ref=ref, fault=fault):
                self.strays.get(lane, {}).pop(ref, None)
                if fault is not None and not POLICIES[fault.kind].retry:
                    self._stuck[lane] = fault
            case ev.SweepEnded(lane=lane):
                self.looking.discard(lane)
        return []

    def accept(self, report: reports.Report, now: float) -> list[ev.AnyEvent]:
        """The events that follow from a report; none for a duplicate or outdated one."""
        match report:
            case reports.SweepReport(lane=lane) if lane in self.looking and report.round == self.run.sweeps[lane]:
                if report.fault is not None or not report.strays:
                    return [ev.SweepEnded(now, lane, report.fault)]
                if report.round - self._before.get(lane, 0) >= ROUNDS_MAX:
                    fault = Fault(FaultClass.PERMANENT, f"orphans remained after {ROUNDS_MAX} sweeps")
                    return [ev.SweepEnded(now, lane, fault)]
                return [ev.OrphanFound(now, lane, ref, name, ref in report.shared) for ref, name in report.strays]
            case reports.OrphanReport(lane=lane, ref=ref) if ref in self.strays.get(lane, {}):
                events: list[ev.AnyEvent] = [ev.OrphanRemovalEnded(now, lane, ref, report.fault)]
                stuck = self._stuck.get(lane)
                if report.fault is not None and not POLICIES[report.fault.kind].retry:
                    stuck = report.fault
                begun = self.run.sweeps.get(lane, 0) > self._before.get(lane, 0)  # else a step gave its server up
                if begun and stuck is not None and len(self.strays[lane]) == 1:
                    events.append(ev.SweepEnded(now, lane, stuck))
                return events
        return []
