"""Calls a port, turns a missing answer into Unknown, and waits for the call's permit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from batchwright.engine.limits import CallClass, Limits
from batchwright.errors import ProviderThrottled, ProviderUnavailable
from batchwright.model.call_outcome import Applied, ReadRefused, Rejected, Throttled, Unknown
from batchwright.model.clock import Clock
from batchwright.model.fault import Fault, FaultClass

LOOK_AGAIN_SECONDS = 5.0  # after a look that was turned away without a word about how long

T = TypeVar("T")


async def answer(limit: float, call: Coroutine[Any, Any, T], leaving: Callable[[], bool]) -> T | Unknown:
    """The answer of a port. An exception or a timeout becomes Unknown; a cancelled caller stays cancelled."""
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
    except ProviderUnavailable as error:
        return ReadRefused(error.message) if error.passing is False else Unknown(error.message)
    except Exception as error:
        return Unknown(f"{type(error).__name__}: {error}".rstrip(": "))


@asynccontextmanager
async def turn(limits: Limits, lane: str, calls: CallClass, clock: Clock) -> AsyncIterator[None]:
    """Wait for and hold the permit of a call that the machine does not request one for."""
    freed = asyncio.Event()
    leave = limits.listen(freed.set)
    try:
        while limits.permits([lane], calls, now := clock.monotonic())[lane] < 1:
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


def trouble(unknown: Unknown) -> Fault:
    """The fault for a read without an answer, which can only be repeated."""
    if isinstance(unknown, Throttled):
        return Fault(FaultClass.THROTTLE, unknown.reason, retry_after=unknown.retry_after or LOOK_AGAIN_SECONDS)
    return Fault(FaultClass.TRANSIENT, unknown.reason)


def unmade(outcome: Applied | Rejected | Unknown) -> Fault | None:
    """Why an undo failed this time, None if it succeeded."""
    match outcome:
        case Rejected(fault=fault):
            return fault
        case Unknown(reason=reason):
            return Fault(FaultClass.IN_DOUBT, reason)
    return None
