"""`temporal_workflow.py STEPS LIMIT ADDRESS`: each step an activity of one workflow, LIMIT at a time, one worker."""

import asyncio
import json
import sys
import time
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker


@activity.defn
async def nothing(number: int) -> int:
    """Do nothing."""
    return number


@workflow.defn
class Steps:
    """A workflow of independent steps."""

    @workflow.run
    async def run(self, steps: int, limit: int) -> int:
        """Carry out all of them."""
        places = asyncio.Semaphore(limit)

        async def one(number: int) -> int:
            async with places:
                return await workflow.execute_activity(nothing, number, start_to_close_timeout=timedelta(seconds=60))

        return len(await asyncio.gather(*(one(number) for number in range(steps))))


async def main(steps: int, limit: int, address: str) -> None:
    """Measure."""
    client = await Client.connect(address)
    about = {"activities": [nothing], "workflows": [Steps], "workflow_runner": UnsandboxedWorkflowRunner()}
    async with Worker(client, task_queue="peer", **about):
        await client.execute_workflow(Steps.run, args=[1, 1], id=f"warm-{time.time_ns()}", task_queue="peer")
        began, cpu = time.perf_counter(), time.process_time()
        done = await client.execute_workflow(
            Steps.run, args=[steps, limit], id=f"steps-{time.time_ns()}", task_queue="peer"
        )
        assert done == steps
        print(json.dumps({"wall": time.perf_counter() - began, "cpu": time.process_time() - cpu}))


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
