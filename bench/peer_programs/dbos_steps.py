"""`dbos_steps.py STEPS LIMIT URL`: each step a step of one workflow, one after the other, as they are in DBOS."""

import json
import sys
import time

from dbos import DBOS

STEPS, URL = int(sys.argv[1]), sys.argv[3]
DBOS(config={"name": "peer", "system_database_url": URL, "log_level": "ERROR", "run_admin_server": False})


@DBOS.step()
def nothing(number: int) -> int:
    """Do nothing."""
    return number


@DBOS.workflow()
def workflow(steps: int) -> int:
    """Carry out all of them."""
    return sum(1 for number in range(steps) if nothing(number) == number)


DBOS.launch()
workflow(1)
began, cpu = time.perf_counter(), time.process_time()
assert workflow(STEPS) == STEPS
print(json.dumps({"wall": time.perf_counter() - began, "cpu": time.process_time() - cpu}))
DBOS.destroy()
