"""A worker: takes what waits in Temporal's task queues, as much at a time as it is allowed to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

from msgspec import Struct
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from batchwright import __version__
from batchwright.app.backing_services import TemporalConfig
from batchwright.app.place_worker import answering
from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from batchwright.errors import BatchwrightError
from batchwright.fleet.connection import config_of, connected, unavailable
from batchwright.fleet.drive_activity import DriveActivity
from batchwright.fleet.drive_workflow import DriveWorkflow
from batchwright.fleet.place_activity import PlaceActivity
from batchwright.journal.lease_holder import own_holder
from batchwright.model.events import AnyEvent
from batchwright.service.run_supervisor import RunSupervisor
from batchwright.views.run import RunView

CONNECT_SECONDS = 2.0  # between two attempts to reach Temporal
STICKY_TIMEOUT = timedelta(seconds=2)  # until another worker takes the workflow of one that has died
HEARTBEATS = timedelta(seconds=1)  # between two that are sent, so that none is held back for long
PROMISED_SECONDS = 9.0  # after which a worker elsewhere takes the runs of one that has died
MARGIN_SECONDS = 10.0  # beyond the grace, for giving leases back

log = logging.getLogger("batchwright.worker")


class WorkerOptions(Struct, frozen=True):
    """How a worker works. `runs` is how many it drives at once; `grace`, seconds that calls in flight may take at its
    end. Without `commands` it drives no run of a client's that runs programs. `place` is the place whose calls it
    answers, as many as `calls` at once.
    """

    runs: int = 50
    grace: float = 20.0
    commands: bool = False
    place: str = ""
    calls: int = 100


class TaskQueue(Struct, frozen=True):
    """What a worker takes from one of Temporal's task queues: `most` activities at a time."""

    name: str
    activities: Sequence[Callable[..., Any]]
    most: int
    workflows: Sequence[type] = ()


class NoReaders:
    """The encoder of a process whose runs nobody reads here: readers are at the services."""

    def event(self, run: str, seq: int, event: AnyEvent) -> bytes:
        """See EventEncoder."""
        raise AssertionError(f"nobody reads {event} of run {run} here, its event {seq}")

    def view(self, name: str, view: RunView, seq: int | None) -> bytes:
        """See EventEncoder."""
        raise AssertionError(f"nobody reads the {name} of run {view.run} here, at its event {seq}")


async def work(settings: Settings, options: WorkerOptions, told: Callable[[str], None], stop: asyncio.Event) -> None:
    """Work until `stop` is set, then give back what is under way. `told` is called once it works.

    A Temporal that does not answer is waited for. Raises TemporalUnavailable if none is configured, StoreError.
    """
    config = config_of(settings)
    async with AsyncExitStack() as stack:
        client = await _patiently_connected(settings, stop)
        if client is None:
            return
        queues = [await _runs(stack, settings, options)] if options.runs else []
        if options.place:
            queues.append(await _calls(stack, client, settings, options))
        for queue in queues:
            await stack.enter_async_context(taking(client, queue, config, options.grace))
        told(f"{config.address}, namespace {config.namespace}: {', '.join(queue.name for queue in queues)}")
        await stop.wait()
        log.info("stopping: calls in flight have %g s to finish", options.grace)


async def _patiently_connected(settings: Settings, stop: asyncio.Event) -> Client | None:
    config, said = config_of(settings), ""
    while not stop.is_set():
        try:
            return await connected(config)
        except BatchwrightError as error:
            if error.message != said:
                log.warning("%s; trying again", error.message)
            said = error.message
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await stop.wait()
        except TimeoutError:
            continue
    return None


async def _runs(stack: AsyncExitStack, settings: Settings, options: WorkerOptions) -> TaskQueue:
    """The queue of runs, driven by a supervisor that takes up nothing by itself."""
    about = settings, SystemClock(), NoReaders()
    made = RunSupervisor(*about, commands=options.commands, adopts=False, lease_seconds=PROMISED_SECONDS)
    supervisor = await stack.enter_async_context(made)
    stack.push_async_callback(supervisor.stop, options.grace)  # what is driven although Temporal lost sight of it
    drives = DriveActivity(supervisor, options.grace)
    return TaskQueue(config_of(settings).runs_queue, [drives.drive], options.runs, [DriveWorkflow])


async def _calls(stack: AsyncExitStack, client: Client, settings: Settings, options: WorkerOptions) -> TaskQueue:
    """The queue of calls to the place where this worker is."""
    answerer = await stack.enter_async_context(answering(settings, options.place, SystemClock()))
    queue = config_of(settings).place_queue(options.place)
    return TaskQueue(queue, [PlaceActivity(client, answerer).call], options.calls)


@asynccontextmanager
async def taking(client: Client, queue: TaskQueue, config: TemporalConfig, grace: float) -> AsyncIterator[None]:
    """Take what waits in a queue while the context is open."""
    worker = Worker(
        client,
        task_queue=queue.name,
        activities=queue.activities,
        workflows=queue.workflows,
        workflow_runner=UnsandboxedWorkflowRunner(),  # the workflow has no side effects to be kept from
        identity=f"batchwright {__version__} {own_holder()}",
        max_concurrent_activities=queue.most,
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        max_heartbeat_throttle_interval=HEARTBEATS,
        default_heartbeat_throttle_interval=HEARTBEATS,
        graceful_shutdown_timeout=timedelta(seconds=grace + MARGIN_SECONDS),
    )
    try:
        async with worker:
            yield
    except (RPCError, RuntimeError) as error:
        raise unavailable(config, error) from error
