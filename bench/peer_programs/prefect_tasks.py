"""`prefect_tasks.py STEPS LIMIT`: each step a task of one flow, LIMIT at a time, against Prefect's own local server."""

import json
import sys
import time

from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner

STEPS, LIMIT = int(sys.argv[1]), int(sys.argv[2])


@task(persist_result=True, log_prints=False)
def nothing(number: int) -> int:
    """Do nothing."""
    return number


@flow(task_runner=ThreadPoolTaskRunner(max_workers=LIMIT))
def steps(count: int) -> int:
    """Carry out all of them."""
    return len([future.result() for future in nothing.map(range(count))])


if __name__ == "__main__":
    steps(1)
    began, cpu = time.perf_counter(), time.process_time()
    assert steps(STEPS) == STEPS
    print(json.dumps({"wall": time.perf_counter() - began, "cpu": time.process_time() - cpu}))
