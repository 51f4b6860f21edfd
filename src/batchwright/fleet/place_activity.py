"""The activity that answers one call to a place, for as long as Temporal counts it as under way."""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio import activity
from temporalio.client import AsyncActivityCancelledError, Client
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.service import RPCError, RPCStatusCode

from batchwright.errors import PlaceUnreachable
from batchwright.fleet.connection import CALL_SECONDS
from batchwright.fleet.temporal_carrier import ACTIVITY
from batchwright.places import codec
from batchwright.places.call_answerer import CallAnswerer
from batchwright.places.call_output import CallOutput

HEARTBEAT_SECONDS = 1.0
LIBRARY_EVERY = 5  # of so many heartbeats, one goes through the client library, which keeps a time of its own
FENCE = 2 / 3  # of the time after which Temporal counts a silent worker as dead, the worker stops the call by itself


class PlaceActivity:
    """Answers calls with the ports of this worker. Temporal cancels it when its caller does.

    A call goes on only while its heartbeats are answered: when Temporal says that a worker is lost, nothing more comes
    from that worker, even if it was only cut off.
    """

    def __init__(self, client: Client, answerer: CallAnswerer) -> None:
        self._client, self._answerer = client, answerer

    @activity.defn(name=ACTIVITY)
    async def call(self, message: bytes) -> bytes:
        """The answer to one message of a port adapter. Raises ApplicationError if the call had to be stopped."""
        output = CallOutput()
        pulse = Pulse(self._client, output)
        answering = asyncio.create_task(self._answerer.answer(message, output, pulse.hold))
        watching = asyncio.create_task(pulse.lost())
        try:
            await asyncio.wait({answering, watching}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                return answering.result()
            raise ApplicationError(f"stopped: {watching.result()}", category=ApplicationErrorCategory.BENIGN)
        finally:
            answering.cancel()
            watching.cancel()
            await asyncio.gather(answering, watching, return_exceptions=True)


class Pulse:
    """The heartbeats of a call: they carry its output, and their answers say whether it may go on."""

    def __init__(self, client: Client, output: CallOutput) -> None:
        info = activity.info()
        assert info.heartbeat_timeout is not None, "the carrier sets one"
        self._handle = client.get_async_activity_handle(task_token=info.task_token)
        self._most = info.heartbeat_timeout.total_seconds() * FENCE
        self._output = output
        self._heard = asyncio.get_running_loop().time()

    async def hold(self) -> None:
        """Make sure that the call is still ours to make. Raises PlaceUnreachable."""
        try:
            async with asyncio.timeout(self._most):
                await self._beat()
        except (AsyncActivityCancelledError, RPCError, TimeoutError) as error:
            raise PlaceUnreachable(f"nothing was begun, as Temporal does not confirm the call: {error}") from error

    async def lost(self) -> str:
        """Beat until the call must not go on, and say why."""
        beats = 0
        while True:
            if beats % LIBRARY_EVERY == 0:
                activity.heartbeat(*self._details())
            beats += 1
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                async with asyncio.timeout_at(self._heard + self._most):
                    await self._beat()
            except TimeoutError:
                return f"Temporal has not answered the worker for {self._most:g} s"
            except AsyncActivityCancelledError:
                return "its caller gave it up"
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    return "Temporal has given it up"

    async def _beat(self) -> None:
        began = asyncio.get_running_loop().time()
        await self._handle.heartbeat(*self._details(), rpc_timeout=CALL_SECONDS)
        self._heard = began

    def _details(self) -> tuple[Any, ...]:
        return (codec.pack(self._output.so_far()),) if self._output.told else ()
