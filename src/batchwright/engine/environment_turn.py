"""The turns that a run has in its environment while one process drives it. Pure: the driver writes what it says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from batchwright.journal.base import Turn
from batchwright.model import events as ev
from batchwright.model.environment import Enter, Environment, EnvironmentKey, Resource, entered
from batchwright.model.environment_fold import leave
from batchwright.model.run import Run

BEGIN_TURN = (ev.RunReopened, ev.RollbackStarted, ev.DoubtForgotten)  # in a run that does not have its turn


class EnvironmentTurn:
    """Gives the event that begins a turn its number, and says what the turn changed with the event that ends it.

    `found` is the environment as it is now, None if it was never entered; `resources` are what it has and `newest` is
    the newest run that changed something. `lenders` are the environments whose servers the run uses. A run that was
    made before there were environments has its first turn when it is reopened or rolled back.
    """

    def __init__(
        self,
        run: Run,
        found: Environment | None,
        resources: Iterable[Resource],
        newest: str,
        lenders: tuple[Environment, ...] = (),
    ) -> None:
        self._run = run
        self._lenders = lenders
        self._found = found or Environment(*_place(run), newest=newest)
        self._is_new = found is None
        self._before = {one.key: one for one in resources}
        self._enter: Enter | None = None
        self._held = run.holds_environment

    @property
    def resources(self) -> tuple[Resource, ...]:
        """What the environment had when the turn began."""
        return tuple(self._before.values())

    def check(self, events: Sequence[ev.AnyEvent]) -> None:
        """Raise EnvironmentRefused if these events may not begin a turn."""
        self.numbered(events)
        self._enter = None

    def numbered(self, events: Sequence[ev.AnyEvent]) -> list[ev.AnyEvent]:
        """The events to begin with; what begins a turn has its number. Raises EnvironmentRefused if it may not."""
        numbered: list[ev.AnyEvent] = []
        for event in events:
            if isinstance(event, BEGIN_TURN) and not self._held and self._enter is None:
                event = replace(event, turn=self._found.turn + 1)
                self._enter = self._entering(event.at)
                entered(None if self._is_new else self._found, self._enter)
            numbered.append(event)
        return numbered

    def _entering(self, at: float) -> Enter:
        run, found = self._run, self._found
        enter = Enter(EnvironmentKey(*_place(run)), run.id, at, found.turn, run.created.after)
        enter = replace(enter, lent=found.lent, lenders=self._lenders)
        if not self._is_new:
            return enter
        return replace(enter, resources=tuple(self._before.values()), newest=found.newest)

    def of_append(self) -> Turn | None:
        """What the next append does to the environment, once its events are in the run."""
        enter, self._enter = self._enter, None
        if enter is not None:
            self._held = True
        ends = self._held and not self._run.holds_environment
        if ends:
            self._held = False
        if enter is None and not ends:
            return None
        return Turn(enter, leave(self._before, self._run, self._found.newest) if ends else None)


def _place(run: Run) -> tuple[str, str]:
    key = EnvironmentKey.of(run.plan)
    return key.space, key.name
