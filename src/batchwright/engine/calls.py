"""A call of a provider and what no answer means, and the loop that ends a server: for a run, and for one by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from batchwright.engine.limits import CallClass, Limits
from batchwright.errors import ProviderThrottled
from batchwright.model.clock import Clock
from batchwright.model.outcome import Fault, FaultClass, Gone, Rejected, ServerState, Throttled, Unknown
from batchwright.providers.base import Provider

DESTROY_SECONDS = 600.0  # until what is being destroyed must be gone
LOOK_AGAIN_SECONDS = 5.0  # after a look that was turned away without a word about how long

T = TypeVar("T")
Hold = Callable[[], Awaitable[None]]


async def answer(limit: float, call: Coroutine[Any, Any, T], leaving: Callable[[], bool]) -> T | Unknown:
    """What a port answers. Whatever it raises, and no answer in time, is Unknown; only who leaves is cancelled."""
    try:
        async with asyncio.timeout(limit):
            return await call
    except TimeoutError:
        return Unknown(f"no answer within {limit:g} s")
    except asyncio.CancelledError:
        if leaving():
            raise
        return Unknown("the call was cancelled")
    except ProviderThrottled as error:
        return Throttled(error.message, error.retry_after)
    except Exception as error:
        return Unknown(f"{type(error).__name__}: {error}")


@asynccontextmanager
async def turn(limits: Limits, lane: str, calls: CallClass, clock: Clock) -> AsyncIterator[None]:
    """Wait for the permit of a call that no step of the machine asks one for, and hold it."""
    freed = asyncio.Event()
    leave = limits.listen(freed.set)
    try:
        while limits.permits([lane], calls, now := clock.now())[lane] < 1:
            at = limits.wake_at([lane], calls, now)
            freed.clear()
            try:
                async with asyncio.timeout(None if at is None else at - now):
                    await freed.wait()
            except TimeoutError:
                pass
    finally:
        leave()
    limits.take(lane, calls)
    try:
        yield
    finally:
        limits.release(lane, calls)


async def destroy(
    provider: Provider,
    ref: str,
    run: str,
    clock: Clock,
    leaving: Callable[[], bool],
    hold: Hold,
    heed: Callable[[object], None],
) -> Fault | None:
    """Destroy until gone, after a fresh look that it is this run's. None when it is certainly gone.

    `hold` is awaited before each call that changes something; `heed` is told what it answered, and what a look did not.
    """
    poll, limit = provider.capabilities.poll_seconds, provider.capabilities.call_timeout
    began = clock.now()
    until = began + max(DESTROY_SECONDS, 2 * provider.capabilities.settle_seconds)
    fault: Fault | None = None
    while clock.now() < until:
        look = await answer(limit, provider.describe([ref]), leaving)
        if isinstance(look, Unknown):
            heed(look)
            return trouble(look)
        seen = look[ref]
        if seen.state is ServerState.GONE:
            return None
        if seen.state is ServerState.NOT_VISIBLE:
            if clock.now() - began >= provider.capabilities.settle_seconds:
                return None
        elif seen.run != run:
            return Fault(FaultClass.CONFLICT, f"{ref} does not carry this run's label, so it is left alone")
        else:
            await hold()
            outcome = await answer(limit, provider.destroy(ref), leaving)
            heed(outcome)
            if isinstance(outcome, Gone):
                return None
            if isinstance(outcome, Throttled):
                return trouble(outcome)
            fault = outcome.fault if isinstance(outcome, Rejected) else None
            if fault is not None and fault.kind is not FaultClass.BUSY:
                return fault
        await clock.sleep(poll)
    return fault or Fault(FaultClass.TIMEOUT, f"{ref} was still there after {until - began:.0f} s")


def trouble(unknown: Unknown) -> Fault:
    """An answer that did not come, where asking again is all there is to do."""
    if isinstance(unknown, Throttled):
        return Fault(FaultClass.THROTTLE, unknown.reason, retry_after=unknown.retry_after or LOOK_AGAIN_SECONDS)
    return Fault(FaultClass.TRANSIENT, unknown.reason)
