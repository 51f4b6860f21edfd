"""Carries calls to places: each is a standalone activity of Temporal, on the task queue of its place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any
from weakref import WeakKeyDictionary

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import ActivityExecutionStatus, ActivityFailureError, ActivityHandle, Client
from temporalio.common import ActivityIDConflictPolicy, RetryPolicy
from temporalio.exceptions import TimeoutError as TemporalTimeout
from temporalio.exceptions import TimeoutType
from temporalio.service import RPCError, RPCStatusCode

from batchwright.app.backing_services import TemporalConfig
from batchwright.errors import PlaceAnswerLost, PlaceUnreachable, TemporalUnavailable
from batchwright.fleet.connection import CALL_SECONDS, connected
from batchwright.places.carrier import LOOK_ID, START_SECONDS

ACTIVITY = "place_call"
HEARTBEAT_SECONDS = 15.0  # without one a worker counts as dead; longer than a restart of Temporal takes
HEARTBEAT_MOST = 60.0  # of a call that may take long, as an install does: one that is lost costs more than waiting
MARGIN_SECONDS = 5.0  # beyond its limit for a worker to say that a call took too long
APPEAR_SECONDS = 2.0  # for a worker to show that has just started
CANCEL = timedelta(seconds=2)
ENDS_SECONDS = 5.0  # for a call to end that its caller gave up
LIVE_SECONDS = 1.5  # between two looks at the output of a call
AGAIN_SECONDS = 0.5  # until an answer is asked for again when Temporal was away
_OPEN_ENDS = (RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.UNAVAILABLE, RPCStatusCode.CANCELLED)
UNCLEAR = frozenset((*_OPEN_ENDS, RPCStatusCode.UNKNOWN, RPCStatusCode.INTERNAL, RPCStatusCode.ABORTED))


def heartbeat_seconds(limit: float) -> float:
    """After how long without a heartbeat the worker of a call counts as dead.

    >>> heartbeat_seconds(60.0), heartbeat_seconds(600.0), heartbeat_seconds(86400.0)
    (15.0, 30.0, 60.0)
    """
    return max(HEARTBEAT_SECONDS, min(HEARTBEAT_MOST, limit / 20))


class TemporalCarrier:
    """See Carrier. Temporal never repeats a call: at most one worker begins it, and only within START_SECONDS.

    A worker that Temporal counts as dead has stopped its call by then, if it still runs (see PlaceActivity).
    """

    def __init__(self, config: TemporalConfig) -> None:
        self._config = config
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, Client] = WeakKeyDictionary()
        self._heard: set[str] = set()  # places from which an answer has come

    async def carry(
        self, place: str, call: str, message: bytes, limit: float, live: Callable[[bytes], None] | None = None
    ) -> bytes:
        """See Carrier."""
        handle = await self._begun(place, call, message, limit)
        try:
            async with asyncio.timeout(START_SECONDS + limit + 2 * MARGIN_SECONDS), _followed(handle, live):
                answer = await self._answer(place, handle)
                self._heard.add(place)
                return answer
        except TimeoutError:
            raise PlaceAnswerLost(f"no answer from {place} within {limit:g} s") from None
        except asyncio.CancelledError:
            with suppress(RPCError, TimeoutError, ActivityFailureError):  # it ends by its limit in any case
                await handle.cancel(rpc_timeout=CANCEL)
                async with asyncio.timeout(ENDS_SECONDS):  # a caller that goes on may count on its end
                    await handle.result()
            raise

    async def _client(self) -> Client:
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            self._clients[loop] = await connected(self._config)
        return self._clients[loop]

    async def _begun(self, place: str, call: str, message: bytes, limit: float) -> ActivityHandle[bytes]:
        """The call as Temporal has it: new, or under way already. Raises PlaceUnreachable, PlaceAnswerLost."""
        try:
            client = await self._client()
        except TemporalUnavailable as error:
            raise PlaceUnreachable(f"{place}: {error.message}") from error
        name = f"{self._config.queue}/{place}/{call}"
        try:
            if place not in self._heard and not await self._has_worker(client, place):
                raise PlaceUnreachable(f"no worker is at {place}, nor was one in the last minutes")
        except RPCError as error:
            raise PlaceUnreachable(f"Temporal does not say whether a worker is at {place}: {error.message}") from error
        began = asyncio.get_running_loop().time()
        try:
            return await client.start_activity(
                ACTIVITY,
                message,
                id=name,
                task_queue=self._config.place_queue(place),
                result_type=bytes,
                schedule_to_start_timeout=timedelta(seconds=START_SECONDS),
                start_to_close_timeout=timedelta(seconds=limit + MARGIN_SECONDS),
                heartbeat_timeout=timedelta(seconds=heartbeat_seconds(limit)),
                id_conflict_policy=ActivityIDConflictPolicy.USE_EXISTING,
                retry_policy=RetryPolicy(maximum_attempts=1),
                rpc_timeout=CALL_SECONDS,
            )
        except RPCError as error:
            words = f"Temporal did not take a call to {place}: {error.message}"
            if error.status not in UNCLEAR:
                raise PlaceUnreachable(words) from error
            if not call.startswith(LOOK_ID):
                await _called_off(client.get_activity_handle(name), began + START_SECONDS, heartbeat_seconds(limit))
            raise PlaceAnswerLost(words) from error

    async def _has_worker(self, client: Client, place: str) -> bool:
        """Whether a worker asks for calls to this place; Temporal remembers one that is gone for some minutes."""

        asked = DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=self._config.place_queue(place)),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        )
        until = asyncio.get_running_loop().time() + APPEAR_SECONDS
        while not (await client.workflow_service.describe_task_queue(asked, timeout=CALL_SECONDS)).pollers:
            if asyncio.get_running_loop().time() >= until:
                return False
            await asyncio.sleep(AGAIN_SECONDS)
        return True

    async def _answer(self, place: str, handle: ActivityHandle[bytes]) -> bytes:
        while True:
            try:
                return await handle.result()
            except ActivityFailureError as error:
                raise _failed(place, error) from error
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    raise PlaceAnswerLost(f"Temporal does not know a call to {place} any more") from error
                await asyncio.sleep(AGAIN_SECONDS)


async def _called_off(handle: ActivityHandle[Any], begun_by: float, silent: float) -> None:
    """See to it that a call is over which Temporal may have taken, and which no worker begins after `begun_by`.

    A worker that hears nothing from Temporal for `silent` seconds has stopped it by itself.
    """
    loop = asyncio.get_running_loop()
    while (now := loop.time()) < begun_by + silent:
        try:
            await handle.cancel(rpc_timeout=CANCEL)
            running = (await handle.describe(rpc_timeout=CALL_SECONDS)).status is ActivityExecutionStatus.RUNNING
        except RPCError as error:
            running = error.status is not RPCStatusCode.NOT_FOUND
        if not running and now >= begun_by:
            return
        await asyncio.sleep(AGAIN_SECONDS)


@asynccontextmanager
async def _followed(handle: ActivityHandle[bytes], live: Callable[[bytes], None] | None) -> AsyncIterator[None]:
    """Tell `live` of the output of a call, which its worker's heartbeats carry."""

    async def follow(live: Callable[[bytes], None]) -> None:
        while True:
            await asyncio.sleep(LIVE_SECONDS)
            with suppress(RPCError):  # the answer has it all
                seen = await handle.describe(include_heartbeat_details=True, rpc_timeout=CALL_SECONDS)
                for detail in await seen.heartbeat_details([bytes]) or ():
                    live(detail)

    following = None if live is None else asyncio.create_task(follow(live))
    try:
        yield
    finally:
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


def _failed(place: str, error: Exception) -> PlaceUnreachable | PlaceAnswerLost:
    """Why there is no answer. Only of a call that no worker took in time is it certain that it was not begun."""

    cause = error.__cause__
    if isinstance(cause, TemporalTimeout):
        if cause.type is TimeoutType.SCHEDULE_TO_START:
            return PlaceUnreachable(f"no worker at {place} took the call within {START_SECONDS:g} s")
        if cause.type is TimeoutType.HEARTBEAT:
            return PlaceAnswerLost(f"the worker at {place} has not been heard of for too long")
    return PlaceAnswerLost(f"no answer from {place}: {cause or error}")
