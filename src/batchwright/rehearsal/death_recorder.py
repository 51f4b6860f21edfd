"""What a process would leave if it died at some calls, saved on the way through a run in which it does not die."""

from __future__ import annotations

from collections.abc import Iterable

from batchwright.rehearsal.fault_spec import AFTER, BEFORE, Experiment, Injection, PortCall
from batchwright.rehearsal.saved_start import SavedStart, saved_start
from batchwright.testing.crash_state_recorder import SharedValues


def death_of(experiment: Experiment) -> Injection | None:
    """The death of its first process, if nothing else disturbs that one."""
    first = [one for one in experiment.injections if one.process == 1]
    return first[0] if len(first) == 1 and first[0].fault in (BEFORE, AFTER) else None


class DeathRecorder:
    """Saves what the first process of a run leaves at these deaths; `left` are the states by death."""

    def __init__(self, deaths: Iterable[Injection]) -> None:
        self._due = {(one.subject, one.verb, one.number, one.fault): one for one in deaths}
        self._shared = SharedValues()
        self.left: dict[Injection, SavedStart] = {}

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to save."""
        return not self._due

    def passes(self, run: object, call: PortCall, side: str) -> None:
        """Save the run if a death is due on this side of the call."""
        death = self._due.pop((call.subject, call.verb, call.number, side), None)
        if death is not None:
            self.left[death] = saved_start(run, self._shared, death)
