"""Whoever drives the runs of a service, the service itself or a worker that Temporal finds: callers see the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from temporalio.service import RPCError

from batchwright.app.backing_services import TemporalConfig
from batchwright.app.settings import Settings
from batchwright.engine import machine
from batchwright.fleet.connection import connected
from batchwright.fleet.temporal_dispatcher import TemporalDispatcher
from batchwright.fleet.worker import WorkerOptions, work
from batchwright.model.plan import RULES, SEMANTICS
from batchwright.service import run_supervisor
from tests.support.service_in_loop import RUNS, Serving, serving, workflow

STORES = ("filesystem",)  # which the worker reaches, too: it is on this machine
SLOW = {"boot_seconds": "0.6", "spread": "0"}
Engine = Callable[[], AbstractAsyncContextManager[Serving]]


@asynccontextmanager
async def working(settings: Settings, options: WorkerOptions = WorkerOptions(grace=0.0)) -> AsyncIterator[None]:  # noqa: B008
    """A worker in this loop."""
    stop, works = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(work(settings, options, lambda _: works.set(), stop))
    waiting = asyncio.create_task(works.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    try:
        yield
    finally:
        stop.set()
        await task


@pytest.fixture(params=["embedded", "temporal"])
def engine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A service, with a worker if it does not drive itself; it may be begun again."""
    monkeypatch.setattr(run_supervisor, "AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(run_supervisor, "OTHERS_SECONDS", 0.2)
    if request.param == "embedded":
        return lambda: serving(tmp_path)
    config: TemporalConfig = request.getfixturevalue("temporal")

    @asynccontextmanager
    async def elsewhere() -> AsyncIterator[Serving]:
        async with (
            working(Settings(tmp_path, temporal=config)),
            serving(tmp_path, dispatcher=TemporalDispatcher(config, STORES)) as service,
        ):
            yield service

    return elsewhere


def run(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(story())  # type: ignore[arg-type]


def test_runs_complete_and_a_key_means_one_run(engine: Engine) -> None:
    async def story() -> None:
        async with engine() as service:
            first = (await service.submit(workflow("one", 3), key="k")).json["run"]
            assert (await service.submit(workflow("one", 3), key="k")).json["run"] == first
            second = (await service.submit(workflow("two", 2))).json["run"]
            ends = [await service.until(each, "Completed", "Failed") for each in (first, second)]
            assert [(end["status"], end["counts"]) for end in ends] == [
                ("Completed", {"succeeded": 3}),
                ("Completed", {"succeeded": 2}),
            ]
            types = [event["type"] for event in await service.events(first)]
            assert types.count("step_succeeded") == 3

    run(story)


def test_a_run_is_paused_resumed_cancelled_and_continued(engine: Engine) -> None:
    async def story() -> None:
        async with engine() as service:
            own = (await service.submit(workflow(count=9, parallel_limit=1), **SLOW)).json["run"]
            await service.until(own, "Running")
            assert (await service.post(f"{RUNS}/{own}/pause")).json["status"] == "Paused"
            assert (await service.post(f"{RUNS}/{own}/resume")).json["status"] == "Running"
            assert (await service.post(f"{RUNS}/{own}/cancel")).status == 202
            await service.until(own, "Cancelled")
            answer = await service.post(f"{RUNS}/{own}/resume")
            assert answer.status == 202, answer.json
            assert (await service.until(own, "Completed"))["counts"] == {"succeeded": 9}

    run(story)


def test_a_run_is_rolled_back(engine: Engine) -> None:
    async def story() -> None:
        async with engine() as service:
            own = (await service.submit(workflow(count=3))).json["run"]
            await service.until(own, "Completed")
            assert (await service.post(f"{RUNS}/{own}/rollback")).json["status"] in ("RollingBack", "RolledBack")
            assert (await service.until(own, "RolledBack"))["counts"] == {"undone": 3}

    run(story)


def test_a_run_that_rests_goes_on_when_it_is_answered(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_supervisor, "REST_SECONDS", 0.0)
    definition = workflow(count=1)
    inner = definition["batch_workflow"]
    asks = {"id": "ok", "type": "approval", "ask": "Create it?"}
    inner["operations"] = [asks, {**inner["operations"][0], "dependencies": ["ok"]}]

    async def story() -> None:
        async with engine() as service:
            own = (await service.submit(definition)).json["run"]
            [question] = await _asked(service, own)
            await _at_rest(service, own)
            bound = {"hash": question["hash"], "ask": str(question["ask"])}
            assert (await service.post(f"{RUNS}/{own}/approve", params=bound)).status == 202
            end = await service.until(own, "Completed")
            assert end["restarts"] <= 2  # as often as it rested, and once more at most

    run(story)


async def _asked(service: Serving, own: str) -> list[dict[str, Any]]:
    for _ in range(2_000):
        found: list[dict[str, Any]] = (await service.get("/v1/approvals", params={"run": own})).json["items"]
        if found:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError("nothing is asked")


async def _at_rest(service: Serving, own: str) -> None:
    """Look until nobody holds the run."""
    journal, _ = await service.supervisor.stores.find(own)
    for _ in range(2_000):
        if await journal.held(own) is None:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it does not rest")


def test_what_one_service_left_the_next_goes_on_with(engine: Engine) -> None:
    async def story() -> None:
        async with engine() as service:
            own = (await service.submit(workflow(count=4, parallel_limit=2), **SLOW)).json["run"]
            await service.until(own, "Running")
        async with engine() as service:
            assert (await service.until(own, "Completed"))["counts"] == {"succeeded": 4}

    run(story)


def test_a_worker_leaves_a_plan_whose_rules_it_does_not_know_to_others(
    temporal: TemporalConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        settings = Settings(tmp_path, temporal=temporal)
        async with serving(tmp_path, dispatcher=TemporalDispatcher(temporal, STORES)) as service:
            own = (await service.submit(workflow(count=1))).json["run"]
            with monkeypatch.context() as older:
                older.setattr(machine, "RULES", {1: RULES[1]})
                async with working(settings):
                    said = await _failure(temporal, own)
            assert f"run {own} was planned with semantics {SEMANTICS}" in said
            async with working(settings):
                await service.until(own, "Completed")

    run(story)


async def _failure(config: TemporalConfig, own: str) -> str:
    """What Temporal's screen shows as the reason why the run is not driven."""
    handle = (await connected(config)).get_workflow_handle(own)
    for _ in range(2_000):
        with suppress(RPCError):  # it has not begun
            pending = (await handle.describe()).raw_description.pending_activities
            if pending and pending[0].last_failure.message:
                return str(pending[0].last_failure.message)
        await asyncio.sleep(0.02)
    raise AssertionError("nothing is said")
