"""What adapters share to change a server in place: the order of its steps, its labels, and what is refused."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from enum import StrEnum

from batchwright.model.call_outcome import Going, Rejected, Unknown
from batchwright.model.clock import Clock
from batchwright.model.fault import Fault, FaultClass

STOP_SECONDS = 120.0  # for a clean shutdown; a server that still runs then did not heed it


class Power(StrEnum):
    """Whether a server runs, as far as a change of its plan is concerned."""

    ON = "on"
    OFF = "off"
    BETWEEN = "between"  # it is starting or stopping, or something else is done with it


class SentStops:
    """Stops that this process sent. For a moment a look still shows such a server as running."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._sent = clock, dict[str, float]()

    def power(self, ref: str, seen: Power) -> Power:
        """What a look says, without what an unfinished stop makes of it."""
        since = self._sent.get(ref)
        if seen is Power.OFF or (since is not None and self._clock.now() - since > STOP_SECONDS):
            self._sent.pop(ref, None)
        return Power.BETWEEN if seen is Power.ON and ref in self._sent else seen

    async def send(
        self, ref: str, stop: Callable[[], Awaitable[Rejected | Unknown | None]]
    ) -> Rejected | Unknown | None:
        """Send a stop. It may have its effect later unless it was refused, and for another reason than that the server
        is stopping already.
        """
        self._sent[ref] = self._clock.now()
        answer = await stop()
        if isinstance(answer, Rejected) and answer.fault.kind is not FaultClass.BUSY:
            self._sent.pop(ref, None)
        return answer


class ServerChange(ABC):
    """The change of one server whose plan is changed while it is stopped. A look has filled the attributes.

    Each call sends one request, and returns None if it was taken.
    """

    power: Power
    plan: str  # that it has
    wanted: str  # the plan that is asked for
    former: str  # and the one that was asked for before
    labelled: bool  # it has the labels

    @abstractmethod
    async def stop(self) -> Rejected | Unknown | None:
        """Ask for a clean shutdown."""

    @abstractmethod
    async def resize(self, plan: str) -> Rejected | Unknown | None:
        """Set the plan of the stopped server, and nothing else."""

    @abstractmethod
    async def start(self) -> Rejected | Unknown | None:
        """Start the stopped server."""

    @abstractmethod
    async def relabel(self) -> Rejected | Unknown | None:
        """Set the labels."""

    async def step(self) -> Going | Rejected | Unknown | None:
        """The next step; None if nothing is left to do.

        A plan that is refused, at once or by the start with it, leaves the server starting again with the former one.
        A server that is found stopped with its plan is started, whoever stopped it: a process that died in between
        leaves no other trace. A server that starts or stops is waited for, since it may be stopping.
        """
        match self.power:
            case Power.BETWEEN:
                return Going("the server is starting or stopping")
            case Power.OFF:
                return await self._off()
        if self.plan != self.wanted:
            return _patient(await self.stop()) or Going("the server is stopping")
        return None if self.labelled else _patient(await self.relabel())

    async def _off(self) -> Going | Rejected | Unknown:
        refused = None if self.plan == self.wanted else await self.resize(self.wanted)
        if isinstance(refused, Unknown) or (refused is not None and is_throttled(refused)):
            return refused
        answer = await self.start()
        if refused is None and self.former != self.wanted and _is_about_the_plan(answer):
            refused, undone = answer, await self.resize(self.former)
            answer = await self.start() if undone is None else undone
        return _patient(answer) or refused or Going("the server is starting")


def is_throttled(refused: Rejected) -> bool:
    """Whether the same call is taken in a moment: a start before that would only be one more interruption."""
    return refused.fault.kind is FaultClass.THROTTLE


def _is_about_the_plan(answer: Rejected | Unknown | None) -> bool:
    """Whether a start was refused for a reason that the start with another plan may not have."""
    others = (FaultClass.BUSY, FaultClass.THROTTLE, FaultClass.TRANSIENT, FaultClass.AUTH, FaultClass.BILLING)
    return isinstance(answer, Rejected) and answer.fault.kind not in others


def _patient(answer: Rejected | Unknown | None) -> Going | Rejected | Unknown | None:
    """A server that is in another state than the look showed is looked at again."""
    if isinstance(answer, Rejected) and answer.fault.kind is FaultClass.BUSY:
        return Going(answer.fault.message)
    return answer


def refuse_foreign(ref: str) -> Rejected:
    """The refusal to change a server that Batchwright did not create."""
    message = f"not changed: {ref} does not carry the labels of a run"
    hint = "Somebody removed them, or the server is not this environment's. Change it by hand, or replace it."
    return Rejected(Fault(FaultClass.CONFLICT, message, "NOT_OURS", hint))


def refuse_gone(ref: str) -> Rejected:
    """The refusal to change a server that does not exist any more."""
    return Rejected(Fault(FaultClass.NOT_FOUND, f"not changed: {ref} does not exist", "SERVER_GONE", "Plan again."))
