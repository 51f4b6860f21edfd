"""The loop that destroys a server or changes it: a fresh read before each call, until it is done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from batchwright.engine.port_calls import answer, trouble
from batchwright.engine.read_retry import PAUSE_MAX, ReadRetry
from batchwright.model.call_outcome import Created, Going, Gone, Observed, Rejected, ServerState, Throttled, Unknown
from batchwright.model.clock import Clock
from batchwright.model.fault import Fault, FaultClass
from batchwright.providers.base import Provider

CALLS_SECONDS = 600.0  # until it must be done, without the time in which the server could not be read

Hold = Callable[[], Awaitable[None]]
Call = Callable[[], Coroutine[Any, Any, Created | Going | Gone | Rejected | Unknown]]


class ServerConvergence(Struct, frozen=True):
    """Calls to one server, repeated until it is changed or gone.

    `ours` says of a fresh read whether the server may be touched. `hold` is awaited before each call that changes
    something; `heed` gets each answer, and each failed read.
    """

    provider: Provider
    ref: str
    ours: Callable[[Observed], bool]
    clock: Clock
    looks: ReadRetry
    hold: Hold
    heed: Callable[[object], None]

    async def destroy(self) -> Fault | None:
        """Destroy until gone. None once it is certainly gone."""
        done = await self.repeat(lambda: self.provider.destroy(self.ref), "still existed")
        return done if isinstance(done, Fault) else None

    async def repeat(self, call: Call, late: str) -> Created | Gone | Fault:
        """Call until the answer is Created or Gone, or the server is gone. `late`: what to say if that takes long."""
        known = self.provider.capabilities
        began = self.clock.monotonic()
        limit = max(CALLS_SECONDS, 2 * known.settle_seconds)
        fault: Fault | None = None
        unanswered, failed, begun = 0, False, False

        def missed(look: Unknown) -> None:
            nonlocal failed
            failed = True
            self.heed(look)

        while (asked := self.clock.monotonic()) < began + limit:
            failed = False
            look = await self.looks.look(self.provider, lambda: self.provider.describe([self.ref]), heed=missed)
            if isinstance(look, Unknown):
                return _unfinished(trouble(look)) if begun else trouble(look)
            if failed:  # an outage is no time in which it could have been done
                began += self.clock.monotonic() - asked
            seen = look[self.ref]
            if seen.state is ServerState.GONE:
                return Gone()
            if seen.state is ServerState.NOT_VISIBLE:
                if self.clock.monotonic() - began >= known.settle_seconds:
                    return Gone()
            elif not self.ours(seen):
                return _not_ours(seen)
            else:
                await self.hold()
                outcome = await answer(known.call_timeout, call())
                self.heed(outcome)
                if isinstance(outcome, Created | Gone):
                    return outcome
                begun = begun or isinstance(outcome, Going)
                fault = _fault(outcome)
                # What is turned away before it has begun has changed nothing, and whoever asked must know that.
                passing = (FaultClass.BUSY, FaultClass.TRANSIENT, *([FaultClass.THROTTLE] if begun else []))
                if fault is not None and fault.kind not in passing:
                    return fault
                lost = isinstance(outcome, Unknown) or (fault is not None and fault.kind is not FaultClass.BUSY)
                unanswered = unanswered + 1 if lost else 0
            pause = min(PAUSE_MAX, known.poll_seconds * 2 ** min(max(0, unanswered - 1), 10))
            await self.clock.sleep(max(known.poll_seconds, pause, (fault and fault.retry_after) or 0.0))
        return _unfinished(fault or Fault(FaultClass.TIMEOUT, f"{self.ref} {late} after {limit:.0f} s"))


def _fault(outcome: Going | Rejected | Unknown) -> Fault | None:
    if isinstance(outcome, Throttled):
        return trouble(outcome)
    return outcome.fault if isinstance(outcome, Rejected) else None


def _unfinished(fault: Fault) -> Fault:
    """Why what has begun is not done; not as a call that was turned away, which would mean that nothing was changed."""
    return replace(fault, kind=FaultClass.BUSY) if fault.kind is FaultClass.THROTTLE else fault


def _not_ours(seen: Observed) -> Fault:
    told = f"its labels say run {seen.run or '-'}, token {seen.token or seen.made_with or '-'}"
    hint = "If it is yours, remove its batchwright-* labels; if this run created it, delete it by hand."
    message = f"{seen.ref} does not carry the labels of the run that created it, so it is not touched: {told}"
    return Fault(FaultClass.CONFLICT, message, "FOREIGN_LABELS", hint)
