"""Combines similar calls that arrive close together into batches, with a limit of batches at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from batchwright.model.clock import Clock

WINDOW_SECONDS = 0.2  # how long the first of a batch waits for others
PLACES = 4  # batches at a time
BATCH_MAX = 50  # members of one batch

M = TypeVar("M")
A = TypeVar("A")

Carry = Callable[[Sequence[tuple[M, "asyncio.Future[A]"]]], Awaitable[None]]


class Batcher(Generic[M, A]):
    """`carry` is given a batch of members of one kind, each with the future that wants its answer."""

    def __init__(self, clock: Clock, carry: Carry[M, A], places: int = PLACES, most: int = BATCH_MAX) -> None:
        self._clock, self._carry, self._most = clock, carry, most
        self._places = asyncio.Semaphore(places)
        self._waiting: dict[Hashable, list[tuple[M, asyncio.Future[A]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def join(self, kind: Hashable, member: M) -> asyncio.Future[A]:
        """Be one of the next batch of this kind. Cancelling the future before it begins takes the member out."""
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(kind, [])
        waiting.append((member, answer))
        if len(waiting) == 1:
            self._begin(kind, WINDOW_SECONDS)
        return answer

    def _begin(self, kind: Hashable, window: float) -> None:
        task = asyncio.get_running_loop().create_task(self._gather(kind, window))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _gather(self, kind: Hashable, window: float) -> None:
        await self._clock.sleep(window)
        async with self._places:  # members that arrive while it waits for a place still join
            wanted = [one for one in self._waiting.pop(kind, []) if not one[1].done()]
            batch, rest = wanted[: self._most], wanted[self._most :]
            if rest:
                self._waiting[kind] = rest
                self._begin(kind, 0.0)
            if batch:
                await self._carry_out(batch)

    async def _carry_out(self, batch: list[tuple[M, asyncio.Future[A]]]) -> None:
        try:
            await self._carry(batch)
        except Exception as error:
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
        for _, answer in batch:
            if not answer.done():
                answer.cancel()
