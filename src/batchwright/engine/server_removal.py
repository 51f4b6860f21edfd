"""The loop that destroys a server, for a run or by hand: a fresh read before each call, until it is gone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from batchwright.engine.port_calls import answer, trouble
from batchwright.engine.read_retry import PAUSE_MAX, ReadRetry
from batchwright.model.call_outcome import Gone, Observed, Rejected, ServerState, Throttled, Unknown
from batchwright.model.clock import Clock
from batchwright.model.fault import Fault, FaultClass
from batchwright.providers.base import Provider

DESTROY_SECONDS = 600.0  # until what is being destroyed must be gone, without the time in which it could not be read

Hold = Callable[[], Awaitable[None]]


async def destroy(
    provider: Provider,
    ref: str,
    ours: Callable[[Observed], bool],
    clock: Clock,
    looks: ReadRetry,
    leaving: Callable[[], bool],
    hold: Hold,
    heed: Callable[[object], None],
) -> Fault | None:
    """Destroy until gone, after a fresh read has shown that it is `ours`. None once it is certainly gone.

    `hold` is awaited before each call that changes something; `heed` gets each answer, and each failed read.
    """
    known = provider.capabilities
    began = clock.monotonic()
    limit = max(DESTROY_SECONDS, 2 * known.settle_seconds)
    fault: Fault | None = None
    unanswered, failed = 0, False

    def missed(look: Unknown) -> None:
        nonlocal failed
        failed = True
        heed(look)

    while (asked := clock.monotonic()) < began + limit:
        failed = False
        look = await looks.look(provider, lambda: provider.describe([ref]), heed=missed)
        if isinstance(look, Unknown):
            return trouble(look)
        if failed:  # an outage is no time in which it could have gone
            began += clock.monotonic() - asked
        seen = look[ref]
        if seen.state is ServerState.GONE:
            return None
        if seen.state is ServerState.NOT_VISIBLE:
            if clock.monotonic() - began >= known.settle_seconds:
                return None
        elif not ours(seen):
            return _not_ours(seen)
        else:
            await hold()
            outcome = await answer(known.call_timeout, provider.destroy(ref), leaving)
            heed(outcome)
            if isinstance(outcome, Gone):
                return None
            if isinstance(outcome, Throttled):
                return trouble(outcome)
            fault = outcome.fault if isinstance(outcome, Rejected) else None
            if fault is not None and fault.kind not in (FaultClass.BUSY, FaultClass.TRANSIENT):
                return fault
            lost = isinstance(outcome, Unknown) or (fault is not None and fault.kind is FaultClass.TRANSIENT)
            unanswered = unanswered + 1 if lost else 0
        pause = known.poll_seconds * 2 ** min(max(0, unanswered - 1), 10)
        await clock.sleep(max(known.poll_seconds, min(PAUSE_MAX, pause)))
    return fault or Fault(FaultClass.TIMEOUT, f"{ref} still existed after {limit:.0f} s")


def _not_ours(seen: Observed) -> Fault:
    told = f"its labels say run {seen.run or '-'}, token {seen.token or seen.made_with or '-'}"
    hint = "If it is yours, remove its batchwright-* labels; if this run created it, delete it by hand."
    message = f"{seen.ref} does not carry this run's labels, so it is not touched: {told}"
    return Fault(FaultClass.CONFLICT, message, "FOREIGN_LABELS", hint)
