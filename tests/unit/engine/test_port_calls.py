"""Calls in few tasks: each begins, what it raises is told, and closing leaves none behind."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from batchwright.engine.port_calls import TaskPool, answer
from batchwright.model.call_outcome import Unknown


def test_calls_run_beside_each_other_and_their_tasks_are_used_again() -> None:
    async def main() -> tuple[int, int, set[str]]:
        pool, failures = TaskPool(lambda _: None), asyncio.Event()
        begun = 0

        async def call() -> None:
            nonlocal begun
            begun += 1
            seen.add(str(asyncio.current_task()).split("name='")[1].split("'")[0])
            await failures.wait()

        seen: set[str] = set()
        for _ in range(3):
            pool.start(call())
        await asyncio.sleep(0)
        together = begun
        failures.set()
        for _ in range(4):
            await asyncio.sleep(0)
        for _ in range(3):
            pool.start(call())
        for _ in range(4):
            await asyncio.sleep(0)
        running = pool.running
        await pool.aclose()
        return together, running, seen

    together, running, seen = asyncio.run(main())
    assert (together, running, len(seen)) == (3, 0, 3)


def test_what_a_call_raises_is_told_and_the_next_call_runs() -> None:
    async def main() -> tuple[list[str], list[int]]:
        told: list[str] = []
        done: list[int] = []
        pool = TaskPool(lambda error: told.append(str(error)))

        async def broken() -> None:
            raise KeyError("no such thing")

        async def whole() -> None:
            done.append(pool.running)

        pool.start(broken())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        pool.start(whole())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await pool.aclose()
        return told, done

    assert asyncio.run(main()) == (["'no such thing'"], [1])


@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_closing_cancels_what_runs_and_what_has_not_begun(rounds: int) -> None:
    async def main() -> tuple[int, int, list[str], int]:
        told: list[str] = []
        ended = begun = 0
        pool = TaskPool(lambda error: told.append(str(error)))

        async def call() -> None:
            nonlocal begun, ended
            begun += 1
            try:
                await asyncio.Event().wait()
            finally:
                ended += 1

        async def short() -> None:
            pass

        pool.start(short())
        for _ in range(3):
            await asyncio.sleep(0)
        pool.start(call())  # in the idle task
        pool.start(call())
        for _ in range(rounds):
            await asyncio.sleep(0)
        await pool.aclose()
        return begun, ended, told, pool.running

    begun, ended, told, running = asyncio.run(main())
    assert (begun - ended, told, running) == (0, [], 0)
    assert begun == (2 if rounds else 0)


def test_closing_ends_although_a_call_does_not_heed_that_it_is_cancelled() -> None:
    async def main() -> int:
        pool = TaskPool(lambda _: None)

        async def stubborn() -> None:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await asyncio.sleep(0)

        pool.start(stubborn())
        await asyncio.sleep(0)
        await asyncio.wait_for(pool.aclose(), 60)
        return pool.running

    assert asyncio.run(main()) == 0


def test_whoever_asks_and_is_cancelled_stays_cancelled() -> None:
    """Nobody says before that it is going to be, as when the loop ends: it would poll for ever instead."""

    async def main() -> bool:
        async def poll() -> None:
            while True:
                await answer(60.0, asyncio.Event().wait())

        task = asyncio.create_task(poll())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=60)
        return task.cancelled()

    assert asyncio.run(main())


def test_a_call_that_a_client_cancels_is_unknown() -> None:
    async def main() -> object:
        async def cancelled() -> None:
            raise asyncio.CancelledError

        return await answer(60.0, cancelled())

    assert asyncio.run(main()) == Unknown("the call was cancelled")


def test_a_call_that_is_cancelled_by_itself_takes_no_other_with_it() -> None:
    async def main() -> tuple[list[str], list[str], int]:
        told: list[str] = []
        done: list[str] = []
        pool = TaskPool(lambda error: told.append(str(error)))

        async def cancelled() -> None:
            raise asyncio.CancelledError

        async def whole() -> None:
            done.append("whole")

        pool.start(cancelled())
        pool.start(whole())
        for _ in range(3):
            await asyncio.sleep(0)
        running = pool.running
        pool.start(whole())
        for _ in range(3):
            await asyncio.sleep(0)
        await pool.aclose()
        return told, done, running

    assert asyncio.run(main()) == ([], ["whole", "whole"], 0)
