"""Health, readiness, metrics, the documentation page."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from batchwright.service import health as looks
from tests.support.service_in_loop import RUNS, serving, workflow


def test_health_tells_of_stores_providers_in_use_and_readiness(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(looks, "LAG_BAD", 1e9)  # however busy this machine is

    async def main() -> list[Any]:
        async with serving(tmp_path) as service:
            run = (await service.submit(workflow(), boot_seconds="3600", quota_servers="9")).json["run"]
            await service.until(run, "Running")
            await service.monitor.look()
            health = (await service.get("/health")).json
            ready = [(await service.get("/health/ready")).status]
            service.supervisor.stopping = True
            refused = await service.submit(workflow("late"))
            ready.append((await service.get("/health/ready")).status)
            return [health, ready, refused]

    health, ready, refused = asyncio.run(main())
    assert health["status"] == "ok"
    assert [(one["name"], one["ok"]) for one in health["stores"]] == [("filesystem", True)]
    assert [(one["name"], one["ok"]) for one in health["providers"]] == [("simulated", True)]
    assert health["providers"][0]["quota"]["servers"][1] == 9
    assert health["driven"] == 1
    assert ready == [200, 503]
    assert (refused.status, refused.json["code"]) == (503, "service-stopping")


def test_a_run_that_does_not_move_is_flagged_with_the_reason(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(looks, "STILL_SECONDS", 0.0)

    async def main() -> Any:
        async with serving(tmp_path) as service:
            run = (await service.submit(workflow(count=2), boot_seconds="3600")).json["run"]
            while not any("waiting until" in one.reason for one in service.monitor.health().still):
                await asyncio.sleep(0.02)
            return run, (await service.get("/health")).json

    run, health = asyncio.run(main())
    assert health["status"] == "degraded"
    assert [one["run"] for one in health["still"]] == [run]
    assert "1 more in flight" in health["still"][0]["reason"]


def test_a_run_that_cannot_be_driven_is_flagged_and_taken_up_again(tmp_path: Path) -> None:
    async def main() -> Any:
        async with serving(tmp_path) as service:
            run = (await service.submit(workflow(), boot_seconds="3600")).json["run"]
            await service.until(run, "Running")
        world = tmp_path / "simulated.db"
        kept = world.read_bytes()
        for part in tmp_path.glob("simulated.db*"):
            part.unlink()
        world.write_bytes(b"no world at all" * 100)
        async with serving(tmp_path) as service:
            while not service.supervisor.troubles:
                await asyncio.sleep(0.02)
            flagged = (await service.get("/health")).json["still"]
        world.write_bytes(kept)
        return run, flagged

    run, flagged = asyncio.run(main())
    assert [one["run"] for one in flagged] == [run]
    assert "no process drives it" in flagged[0]["reason"]


def test_metrics_count_runs_steps_requests_and_appends(tmp_path: Path) -> None:
    async def main() -> str:
        async with serving(tmp_path) as service:
            run = (await service.submit(workflow())).json["run"]
            await service.until(run, "Completed")
            return (await service.get("/metrics")).body.decode()

    told = asyncio.run(main())
    assert 'batchwright_runs{status="Completed"} 1.0' in told
    assert 'batchwright_steps{state="succeeded"} 3.0' in told
    assert re.search(r"batchwright_store_append_seconds_count [1-9]", told)
    assert f'path="{RUNS}/submit",status="202"' in told
    assert "batchwright_event_loop_lag_seconds" in told


def test_the_documentation_page_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    async def main() -> tuple[Any, Any]:
        async with serving(tmp_path) as service:
            return await service.get("/docs"), await service.get("/openapi.json")

    page, document = asyncio.run(main())
    assert not re.search(rb"(src|href)\s*=\s*[\"']?(https?:)?//", page.body)
    assert b"http://" not in page.body
    assert b"https://" not in page.body
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert document.json["openapi"].startswith("3.1")
    assert f"{RUNS}/{{run}}/progress" in document.json["paths"]
