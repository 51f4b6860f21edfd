"""What a service tells of task services: what a step has said, and whether what is installed is well."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.support.service_in_loop import RUNS, serving, workflow


def test_logs_of_a_step_and_checks_of_a_run(tmp_path: Path) -> None:
    definition = workflow(count=2)
    cache = {
        "id": "cache",
        "type": "taskserv_batch",
        "provider": "simulated",
        "dependencies": ["web"],
        "taskservs": ["redis"],
    }
    definition["batch_workflow"]["operations"].append(cache)

    async def main() -> list[Any]:
        async with serving(tmp_path) as service:
            run = (await service.submit(definition)).json["run"]
            await service.until(run, "Completed")
            place = f"{RUNS}/{run}"
            return [
                await service.get(f"{place}/logs", params={"step": "flow-0001/redis"}),
                await service.get(f"{place}/logs", params={"step": "nothing"}),
                await service.post(f"{place}/checks"),
            ]

    log, unknown, checks = asyncio.run(main())
    assert log.status == 200
    lines = log.body.decode().splitlines()
    assert [line.rpartition("s ")[2] for line in lines] == ["started", "succeeded"]
    assert (unknown.status, unknown.json["code"]) == (404, "step-not-found")
    assert (checks.status, checks.json["ok"]) == (200, True)
    assert [item["step"] for item in checks.json["items"]] == ["cache/flow-0000/redis", "cache/flow-0001/redis"]
