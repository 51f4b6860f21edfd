"""The crash exploration with real stores that others share: what each process left is what the next one opens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from batchwright.journal.base import Journal
from batchwright.journal.postgres import PostgresAddress
from batchwright.journal.postgres.journal import PostgresJournal
from batchwright.journal.surreal import SurrealJournal
from batchwright.testing.crash_points import CrashPoint, When
from batchwright.testing.virtual_clock import run_virtual
from tests.crash.lives import Lives, live_through
from tests.crash.scenarios import Scenario
from tests.crash.test_explore import SCENARIOS, check, reference, undisturbed

WRITES = ("journal.create", "journal.append", "journal.acquire", "journal.release")


class StandingStill:
    """A journal in another thread's real loop. Virtual time stands still while it works."""

    def __init__(self, loop: asyncio.AbstractEventLoop, inner: Journal) -> None:
        self._loop, self._inner, self.name = loop, inner, inner.name

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def call(*args: Any, **more: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(getattr(self._inner, name)(*args, **more), self._loop).result(60)

        return call


class StoredLives(Lives):
    """Each process opens the store anew."""

    def __init__(self, scenario: Scenario, loop: asyncio.AbstractEventLoop, make: Callable[[], Journal]) -> None:
        super().__init__(scenario)
        self._open = lambda: StandingStill(loop, make())

    async def process(self, point: CrashPoint) -> bool:
        journal = self._open()
        self.journal = journal  # type: ignore[assignment]
        await journal.open()
        try:
            return await super().process(point)
        finally:
            await journal.aclose()

    async def end_state(self) -> Any:
        await self.journal.open()
        try:
            return await super().end_state()
        finally:
            await self.journal.aclose()


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop in real time, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(30)
    loop.close()


def surrealdb(folder: Path, request: pytest.FixtureRequest) -> Callable[[int], Journal]:
    return lambda number: SurrealJournal(folder / str(number))


def postgres(folder: Path, request: pytest.FixtureRequest) -> Callable[[int], Journal]:
    address: PostgresAddress = request.getfixturevalue("postgres")
    return lambda number: PostgresJournal(replace(address, schema=f"n{number}"), folder)


@pytest.mark.parametrize(
    ("backend", "name", "deaths", "stride"),
    [
        (surrealdb, "rollback", WRITES, 1),
        (postgres, "rollback", "", 12),
        pytest.param(surrealdb, "rollback", "", 1, marks=pytest.mark.long),
        pytest.param(surrealdb, "mixed-hostile", "", 1, marks=pytest.mark.long),
        pytest.param(postgres, "rollback", "", 1, marks=pytest.mark.long),
        pytest.param(postgres, "mixed-hostile", "", 1, marks=pytest.mark.long),
    ],
)
def test_the_end_is_the_same_wherever_the_process_dies(
    backend: Callable[[Path, pytest.FixtureRequest], Callable[[int], Journal]],
    name: str,
    deaths: str | tuple[str, ...],
    stride: int,
    loop: asyncio.AbstractEventLoop,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A run and its rollback. The faults of a cloud, which `mixed-hostile` adds, do not reach the store: test_explore
    dies at every call among them. Around its writes, a process leaves every content that a store can have."""
    scenario, make = SCENARIOS[name], backend(tmp_path, request)
    wanted, calls = reference(scenario)
    labels = undisturbed(scenario).calls
    numbers = [n for n, label in enumerate(labels, 1) if label.startswith(deaths)][::stride]
    points = [CrashPoint(n, when) for n in numbers for when in (When if deaths else [list(When)[n % 2]])]
    for at, point in enumerate(points):
        lives = StoredLives(scenario, loop, partial(make, at))
        outcome, processes = run_virtual(live_through(scenario, point, lives=lives))
        assert processes > 1 or point.n == calls, point
        check(scenario, wanted, outcome, str(point))
    with capsys.disabled():
        print(f"\n{name}: {len(points)} crash points on a real {backend.__name__} store, always {scenario.ends}")
