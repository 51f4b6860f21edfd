"""What the service gives a page to draw: the graph and the timeline, now and as they were."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.support.service_in_loop import RUNS, serving, workflow


def test_graph_and_timeline_of_a_run_now_and_then(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as service:
            run = (await service.submit(workflow(count=3), fail="flow-0001=invalid")).json["run"]
            await service.until(run, "Failed")
            events = await service.events(run)

            graph = await service.get(f"{RUNS}/{run}/graph")
            assert [(node["id"], node["steps"], node["layer"], node["y"]) for node in graph.json["nodes"]] == [
                ("web", 3, 0, 0.5)
            ]
            assert graph.headers["etag"] == f'"{run}-layout-1"'

            async def timeline(**query: Any) -> Any:
                answer = await service.get(f"{RUNS}/{run}/timeline", params=query)
                assert answer.status == 200, answer.body
                assert answer.headers["etag"] == f'"{run}-{answer.json["seq"]}"'
                return answer.json

            now = await timeline(width=50)
            assert (now["seq"], now["columns"][-1][1]) == (len(events), len(events))
            (band,) = now["operations"]
            assert (band["steps"], band["state"]) == (3, "failed")
            assert sum(number for _, number in band["failures"]) == 1
            assert {row["step"]: row["state"] for row in now["steps"]} == {
                "web/flow-0000": "succeeded", "web/flow-0001": "failed", "web/flow-0002": "succeeded"
            }  # fmt: skip
            assert [life["why"] for life in now["lives"]] == ["ended"]
            assert now["marks"][-1]["type"] == "run_ended"

            failed = next(event["seq"] for event in events if event["type"] == "step_failed")
            before = await timeline(at=failed - 1)
            assert (before["seq"], before["now"]) == (failed - 1, events[failed - 2]["at"])
            assert before["operations"][0]["failures"] == []
            assert (await timeline(at=failed))["operations"][0]["failures"] != []
            assert (await timeline(at=len(events), width=50)) == now

            for query in ({"at": len(events) + 1}, {"at": 0}, {"width": 0}, {"begin": "nan"}, {"widht": 5}):
                assert (await service.get(f"{RUNS}/{run}/timeline", params=query)).status == 400, query
            assert (await service.get(f"{RUNS}/{run}/graph", params={"group": "no"})).status == 400
            assert (await service.get(f"{RUNS}/zzzz/timeline")).status == 404

    asyncio.run(main())
