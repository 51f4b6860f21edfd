"""What the service answers within a budget of tokens."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any
from unittest.mock import patch

from batchwright.agents.roles.registry import answered
from batchwright.api import agents
from tests.support.service_in_loop import RUNS, Serving, serving, workflow


def test_slices_of_a_run(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as service:
            good = (await service.submit(workflow(count=3))).json["run"]
            await service.until(good, "Completed")
            run = (await service.submit(workflow(count=5), fail="flow-0004=invalid")).json["run"]
            await service.until(run, "Failed")
            await look(service, run, good)

    asyncio.run(main())


async def look(service: Serving, run: str, good: str) -> None:
    path = f"{RUNS}/{run}/slices"
    status = await service.get(f"{path}/status")
    assert status.json["text"].startswith(f"run {run} of flow 1: Failed, simulated, event {status.json['as_of_seq']}\n")
    assert status.headers["etag"] == f'"{run}-{status.json["as_of_seq"]}"'
    told = (await service.get(f"{path}/diagnose", params={"budget": 400})).json
    assert told["tokens"] <= told["budget"] == 400
    assert f"last good run: {good} version 1" in told["text"]
    assert "difference: web/flow-0004 is new" in told["text"]
    found = (await service.get(f"{path}/find", params={"ask": "events after=2", "budget": 150})).json
    assert found["omitted"][0]["how"].startswith("find events after=")
    before = (await service.get(f"{path}/status", params={"at": 3})).json
    assert (before["as_of_seq"], "Running" in before["text"]) == (3, True)
    shown = (await service.get(f"{path}/show", params={"ask": "flow-0004"})).json
    assert "step web/flow-0004: failed" in shown["text"]
    for kind, params, code in (
        ("weather", {}, 400),
        ("status", {"budget": 5}, 400),
        ("status", {"ask": "no=1"}, 400),
        ("show", {"ask": "nothing"}, 404),
        ("status", {"at": 10_000}, 400),
    ):
        answer = await service.get(f"{path}/{kind}", params=params)
        assert answer.status == code, (kind, answer.body)
    assert (await service.get(f"{RUNS}/zzzz/slices/status")).status == 404
    threads: list[bool] = []

    def watched(*asked: Any) -> Any:
        threads.append(threading.current_thread() is loop_thread)
        return answered(*asked)

    loop_thread = threading.current_thread()
    with patch.object(agents, "answered", watched):
        assert (await service.get("/v1/agents/triage", params={"run": run})).status == 200
    assert threads == [False]  # the loop goes on meanwhile
    triage = (await service.get("/v1/agents/triage", params={"run": run})).json
    assert [one["role"] for one in triage["reports"]] == ["diagnoser", "provider", "monitor", "recovery"]
    assert triage["reports"][0]["payload"]["first_step"] == "web/flow-0004"
    forecast = (await service.get("/v1/agents/planner", params={"run": run, "budget": 200})).json["reports"][0]
    assert forecast["tokens"] <= 200
    assert {one["name"] for one in (await service.get("/v1/agents")).json["roles"]} >= {"monitor", "reviewer", "drift"}
    for role, params, code in (
        ("drift", {"run": run}, 400),
        ("nobody", {"run": run}, 400),
        ("monitor", {}, 400),
        ("monitor", {"run": "zzzz"}, 404),
    ):
        assert (await service.get(f"/v1/agents/{role}", params=params)).status == code, role
