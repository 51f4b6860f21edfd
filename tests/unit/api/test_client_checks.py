"""Checks of a client's workflow: where the service lets them look, and what it runs for them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from batchwright.app.access_tokens import Tokens
from batchwright.app.settings import ChecksConfig, Settings
from batchwright.model.role import Role
from tests.support.service_in_loop import RUNS, serving


def flow(**check: Any) -> dict[str, Any]:
    operation = {"id": "look", "type": "check", "every": 0.1, "within": 0.5, **check}
    return {"batch_workflow": {"name": "looks", "version": "1", "operations": [operation]}}


@pytest.mark.parametrize("way", ["http", "tcp"])
@pytest.mark.parametrize("listed", [(), ("127.0.0.0/8",)], ids=["not-listed", "listed"])
def test_the_services_own_machine_is_looked_at_only_if_the_operator_lists_it(
    way: str, listed: tuple[str, ...], tmp_path: Path
) -> None:
    async def main() -> dict[str, Any]:
        async with serving(tmp_path, checks=ChecksConfig(listed)) as service:
            port = int(service.url.rpartition(":")[2])
            what = {"url": f"{service.url}/health"} if way == "http" else {"host": "127.0.0.1", "port": port}
            told = await service.post(f"{RUNS}/submit", json=flow(**{way: what}))
            await service.until(told.json["run"], "Completed" if listed else "Failed")
            return (await service.events(told.json["run"]))[-2]

    event = asyncio.run(main())
    if listed:
        assert event["type"] == "step_succeeded"
    else:
        assert (event["type"], event["fault"]["code"]) == ("step_failed", "address-not-allowed")
        assert "127.0.0.1, an address of the machine itself" in event["fault"]["message"]


def test_a_check_that_runs_a_program_is_a_command(tmp_path: Path) -> None:
    trace = tmp_path / "ran"

    async def submitted(folder: Path, *, commands: bool) -> int:
        secret = Tokens(Settings(folder)).create("ada", Role.OPERATOR, 0.0, None)[1]
        async with serving(folder, commands=commands) as service:
            service.session.headers["Authorization"] = f"Bearer {secret}"
            told = await service.post(f"{RUNS}/submit", json=flow(run=["touch", str(trace)]))
            if told.status == 202:
                await service.until(told.json["run"], "Completed")
            return told.status

    assert asyncio.run(submitted(tmp_path / "refused", commands=False)) == 403
    assert not trace.exists()
    assert asyncio.run(submitted(tmp_path / "allowed", commands=True)) == 202
    assert trace.exists()
