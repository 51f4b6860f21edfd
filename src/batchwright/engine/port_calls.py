"""Calls a port, turns a missing answer into Unknown, waits for the call's permit; runs many calls in few tasks."""

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
Work = Coroutine[Any, Any, None]


async def answer(limit: float, call: Coroutine[Any, Any, T]) -> T | Unknown:
    """The answer of a port. An exception or a timeout becomes Unknown; a cancelled caller stays cancelled."""
    try:
        async with asyncio.timeout(limit):
            return await call
    except TimeoutError:
        return Unknown(f"no answer within {limit:g} s")
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():  # it is the caller who is cancelled, and no call inside a client
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


class TaskPool:
    """Tasks that carry out one call after the other, each call in a task of its own while it lasts.

    A new task for each costs as much as deciding what it does. What a call raises is given to `fail`.
    """

    def __init__(self, fail: Callable[[BaseException], None]) -> None:
        self._fail = fail
        self._closing = False
        self._open: dict[Work, bool] = {}  # calls that have not ended -> whether they have begun
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle: list[asyncio.Future[Work]] = []

    @property
    def running(self) -> int:
        """How many calls have not ended."""
        return len(self._open)

    def start(self, work: Work) -> None:
        """Begin a call, in the next round of the event loop."""
        self._open[work] = False
        if self._idle:
            self._idle.pop().set_result(work)
            return
        task = asyncio.get_running_loop().create_task(self._carry_out(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, work: Work) -> None:
        while True:
            self._open[work] = True
            try:
                await work
            except asyncio.CancelledError:
                raise  # of the call alone, or of all: either way the task is not used again
            except BaseException as error:
                self._fail(error)
            finally:
                del self._open[work]
            if self._closing:  # the call went on although it was cancelled
                return
            given: asyncio.Future[Work] = asyncio.get_running_loop().create_future()
            self._idle.append(given)
            work = await given

    async def aclose(self) -> None:
        """Cancel all calls, and wait until they have ended."""
        self._closing = True
        self._idle.clear()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for work, begun in tuple(self._open.items()):
            if not begun:
                work.close()
                del self._open[work]
