"""Many runs: pages that neither skip nor repeat, filters, statistics."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.support.service_in_loop import RUNS, Serving, serving, workflow


async def page(service: Serving, **params: Any) -> Any:
    return (await service.get(RUNS, params=params)).json


def test_pages_neither_skip_nor_repeat_while_runs_are_added(tmp_path: Path) -> None:
    async def main() -> tuple[list[str], list[str]]:
        async with serving(tmp_path) as service:
            before = [(await service.submit(workflow(f"flow{i}", 1))).json["run"] for i in range(7)]
            seen: list[str] = []
            cursor = None
            while True:
                told = await page(service, limit=2, **({"cursor": cursor} if cursor else {}))
                seen += [row["run"] for row in told["items"]]
                cursor = told["next_cursor"]
                await service.submit(workflow(f"late{len(seen)}", 1))
                if cursor is None:
                    return before, seen

    before, seen = asyncio.run(main())
    assert seen == before[::-1]


def test_filters_take_any_case_and_parts_of_names(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        async with serving(tmp_path) as service:
            alpha = (await service.submit(workflow("alpha", 1))).json["run"]
            beta = (await service.submit(workflow("beta", 1), fail="beta-0000=invalid")).json["run"]
            await service.until(alpha, "Completed")
            await service.until(beta, "Failed")
            return [
                await page(service, status="cOmPleted"),
                await page(service, name="BET"),
                await page(service, since="1h"),
                await page(service, since="0s"),
                (await service.get(RUNS, params={"status": "nope"})).status,
                (await service.get(RUNS, params={"cursor": "nope"})).status,
            ]

    completed, named, recent, none, bad_status, bad_cursor = asyncio.run(main())
    assert [row["workflow"] for row in completed["items"]] == ["alpha"]
    assert [row["workflow"] for row in named["items"]] == ["beta"]
    assert len(recent["items"]) == 2
    assert none["items"] == []
    assert (bad_status, bad_cursor) == (400, 400)


def test_statistics_count_what_ended_and_tell_how_the_service_is(tmp_path: Path) -> None:
    async def main() -> Any:
        async with serving(tmp_path) as service:
            for name in ("a", "b"):
                run = (await service.submit(workflow(name, 2), flaky=f"{name}-0000:1")).json["run"]
                await service.until(run, "Completed")
            return (await service.get(f"{RUNS}/stats", params={"since": "24h"})).json

    stats = asyncio.run(main())
    assert stats["by_status"] == {"Completed": 2}
    assert (stats["success_rate"], stats["succeeded"], stats["retries"]) == (1.0, 4, 2)
    assert stats["service"]["stores"][0]["ok"]


def test_everything_else_that_can_be_looked_at(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        async with serving(tmp_path) as service:
            run = (await service.submit(workflow())).json["run"]
            await service.until(run, "Completed")
            paths = ("explain?step=flow-0001", "servers", "logs")
            found = [await service.get(f"{RUNS}/{run[:6]}/{path}") for path in paths]
            found += [await service.get(path) for path in ("/v1/servers", "/v1/providers", "/v1/taskservs")]
            return found

    explained, servers, logs, placed, providers, taskservs = asyncio.run(main())
    assert explained.json["step"] == "web/flow-0001"
    assert len(servers.json["items"]) == len(placed.json["items"]) == 3
    assert "run Completed" in logs.body.decode().splitlines()[-1]
    assert "simulated" in [one["name"] for one in providers.json["providers"]]
    assert "kubernetes" in [one["name"] for one in taskservs.json["taskservs"]]
