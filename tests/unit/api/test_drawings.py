"""What the service gives a page to show of a run: drawings, steps and causes, now and as they were."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.support.service_in_loop import RUNS, Serving, serving, workflow

Events = list[dict[str, Any]]


def look(folder: Path, story: Callable[[Serving, str, Events], Awaitable[None]]) -> None:
    """With a run of three servers, of which the second one failed."""

    async def main() -> None:
        async with serving(folder) as service:
            run = (await service.submit(workflow(count=3), fail="flow-0001=invalid")).json["run"]
            await service.until(run, "Failed")
            await story(service, run, await service.events(run))

    asyncio.run(main())


def test_graph_and_timeline_of_a_run_now_and_then(tmp_path: Path) -> None:
    async def story(service: Serving, run: str, events: Events) -> None:
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

    look(tmp_path, story)


def test_operations_steps_and_causes_of_a_run_now_and_then(tmp_path: Path) -> None:
    async def story(service: Serving, run: str, events: Events) -> None:
        strips = (await service.get(f"{RUNS}/{run}/operations")).json
        assert strips["counts"] == {"failed": 1, "succeeded": 2}
        assert strips["items"][0]["strip"] == [["succeeded", 1], ["failed", 1], ["succeeded", 1]]
        failed = next(event["seq"] for event in events if event["type"] == "step_failed")
        then = (await service.get(f"{RUNS}/{run}/operations", params={"at": failed - 1})).json
        assert "failed" not in then["counts"]
        query = [("state", "failed"), ("state", "succeeded"), ("order", "worst"), ("limit", "2")]
        first = (await service.get(f"{RUNS}/{run}/steps", params=query)).json
        query.append(("cursor", first["next_cursor"]))
        last = (await service.get(f"{RUNS}/{run}/steps", params=query)).json
        rows = [row["step"] for page in (first, last) for row in page["items"]]
        assert rows == ["web/flow-0001", "web/flow-0000", "web/flow-0002"]
        assert (first["matching"], last["next_cursor"]) == (3, None)
        for bad in ({"cursor": "x"}, {"state": "lost"}, {"at": len(events) + 1}, {"end": "inf"}):
            assert (await service.get(f"{RUNS}/{run}/steps", params=bad)).status == 400
        causes = (await service.get(f"{RUNS}/{run}/failures")).json
        assert [(cause["kind"], cause["count"], cause["steps"]) for cause in causes["items"]] == [
            ("invalid", 1, ["web/flow-0001"])
        ]

    look(tmp_path, story)


def test_reasons_and_logs_of_a_run_now_and_then(tmp_path: Path) -> None:
    async def story(service: Serving, run: str, events: Events) -> None:
        async def get(path: str, **query: Any) -> Any:
            answer = await service.get(f"{RUNS}/{run}/{path}", params=query)
            assert answer.status == 200, answer.body
            assert answer.headers["etag"] == f'"{run}-{answer.json["seq"]}"'
            return answer.json

        failed = next(event["seq"] for event in events if event["type"] == "step_failed")
        assert (await get("why"))["sentence"].startswith("It has ended, Failed")
        then = await get("why", at=failed - 1)
        assert then["sentence"].startswith("It goes on")
        assert then["failures"] == []
        card = await get("step", step="flow-0001")
        assert (card["row"]["state"], card["why"]["step"]) == ("failed", "web/flow-0001")
        assert (await get("step", step="flow-0001", at=failed - 1))["row"]["state"] == "started"

        log = await get("log", step="flow-0001")
        assert [one["type"] for one in log["items"]] == ["step_started", "step_failed"]
        assert (await get("log", step="flow-0001", at=failed - 1))["total"] == 1
        whole, after = [], 0
        while after is not None:
            page = await get("log", limit=4, after=after)
            whole += page["items"]
            after = page["next_after"]
        assert [one["n"] for one in whole] == [event["seq"] for event in events]
        (found,) = [one for one in (await get("log", find="FAILED AFTER", context=2))["items"] if one["match"]]
        assert found["seq"] == failed
        assert (await service.get(f"{RUNS}/{run}/log", params={"step": "nothing"})).status == 404
        assert (await service.get(f"{RUNS}/{run}/step", params={"step": "nothing"})).status == 404

    look(tmp_path, story)


def test_a_plan_is_drawn_before_it_runs(tmp_path: Path) -> None:
    async def story(service: Serving, run: str, _events: Events) -> None:
        for wanted in ("true", "false"):
            query = {"simulate": "true", "graph": wanted}
            answer = await service.post(f"{RUNS}/plan", params=query, json=workflow("other"))
            graph = answer.json["graph"]
            assert (graph is None) == (wanted == "false")
            if graph:
                assert graph["nodes"] == (await service.get(f"{RUNS}/{run}/graph")).json["nodes"]

    look(tmp_path, story)
