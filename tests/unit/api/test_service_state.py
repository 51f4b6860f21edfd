"""What a service says about itself: tokens, audit trail, leases, lanes, and to whom."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from batchwright.api.app import LOOKS, described
from batchwright.api.audit_middleware import PARAMETERS
from batchwright.app.access_tokens import Tokens
from batchwright.app.settings import Settings
from batchwright.model.role import Role
from tests.support.service_in_loop import RUNS, Serving, serving, workflow

NOW = 1_000.0
SLOW = {"boot_seconds": 3600}


def test_each_call_is_for_those_who_may_know_it(tmp_path: Path) -> None:
    tokens = Tokens(Settings(tmp_path))
    secrets = {role: tokens.create(role, role, NOW, None)[1] for role in Role}

    async def main() -> dict[str, list[int]]:
        seen = {}
        async with serving(tmp_path) as service:
            for role, secret in secrets.items():
                headers = {"Authorization": f"Bearer {secret}"}
                paths = ("/v1/leases", "/v1/lanes", "/v1/tokens", "/v1/audit")
                seen[role] = [(await service.get(path, headers=headers)).status for path in paths]
        return seen

    seen = asyncio.run(main())
    assert seen[Role.VIEWER] == seen[Role.OPERATOR] == [200, 200, 403, 403]
    assert seen[Role.ADMIN] == [200, 200, 200, 200]


def test_tokens_are_told_without_their_secrets(tmp_path: Path) -> None:
    tokens = Tokens(Settings(tmp_path))
    old = tokens.create("old", Role.VIEWER, NOW, 60.0)[0]
    tokens.create("gone", Role.OPERATOR, NOW, None)
    tokens.revoke("gone", NOW)
    made, secret = tokens.create("ada", Role.ADMIN, NOW, None)

    async def main() -> Any:
        async with serving(tmp_path) as service:
            return await service.get("/v1/tokens", headers={"Authorization": f"Bearer {secret}"})

    answer = asyncio.run(main())
    told = {one["name"]: one for one in answer.json["items"]}
    assert [told[name]["trouble"] for name in ("ada", "gone", "old")] == ["", "was revoked", "has expired"]
    assert (told["old"]["id"], told["old"]["expires_at"], told["ada"]["role"]) == (old.id, NOW + 60, "admin")
    assert secret.encode() not in answer.body
    assert made.hash.encode() not in answer.body


async def started(service: Serving, name: str, **sim: Any) -> str:
    run: str = (await service.submit(workflow(name, 12, parallel_limit=5), **sim)).json["run"]
    for _ in range(6_000):
        if (await service.get(f"{RUNS}/{run}")).json["running"]:
            return run
        await asyncio.sleep(0.02)
    raise AssertionError(f"{run} has not begun anything")


def test_leases_say_who_holds_a_run_and_its_environment(tmp_path: Path) -> None:
    async def main() -> tuple[str, list[Any], list[Any]]:
        async with serving(tmp_path) as service:
            run = await started(service, "held", **SLOW)
            held = (await service.get("/v1/leases")).json["items"]
            await service.post(f"{RUNS}/{run}/cancel?force=true")
            await service.until(run, "Cancelled")
            return run, held, (await service.get("/v1/leases")).json["items"]

    run, (lease,), after = asyncio.run(main())
    assert (lease["run"], lease["environment"], lease["simulated"]) == (run, "held", True)
    assert (lease["state"], lease["fence"], lease["turn"]) == ("held", 1, 1)
    assert lease["holder"].startswith("process ")
    assert lease["until"] > lease["since"] > 0
    assert after == []


def test_what_a_resume_asks_is_told_once_nobody_drives_the_run(tmp_path: Path) -> None:
    async def main() -> tuple[Any, Any]:
        async with serving(tmp_path) as service:
            run = await started(service, "doubt", answer_seconds=60)
            driven = (await service.get(f"{RUNS}/{run}/resume")).json
            await service.post(f"{RUNS}/{run}/cancel?force=true")
            await service.until(run, "Cancelled")
            return driven, (await service.get(f"{RUNS}/{run}/resume")).json

    driven, asked = asyncio.run(main())
    assert (driven["commands"], driven["lanes"]) == ([], [])
    (lane,) = asked["lanes"]
    assert (asked["commands"], lane["lane"], len(lane["servers"])) == ([], "simulated", 5)


def test_lanes_say_what_is_in_flight_and_what_waits(tmp_path: Path) -> None:
    async def main() -> tuple[str, list[Any], list[Any]]:
        async with serving(tmp_path) as service:
            before = (await service.get("/v1/lanes")).json["items"]
            run = await started(service, "lanes", publish_rate="true", rate="0.1", burst="2", answer_seconds="60")
            return run, before, (await service.get("/v1/lanes")).json["items"]

    run, before, (lane,) = asyncio.run(main())
    assert before == []
    assert (lane["lane"], lane["simulated"], lane["runs"]) == ("simulated", True, [run])
    assert 0 < lane["in_flight"] <= 5
    assert lane["in_flight"] <= lane["places"]
    assert lane["in_flight"] + lane["waiting"] == 12
    create, destroy = lane["rates"]
    assert (create["calls"], destroy["calls"]) == ("create", "destroy")
    assert create["base_rate"] == 0.1
    assert create["free"] == 0
    assert create["wait"].startswith("rate 0.1")
    assert destroy["in_flight"] == 0


def test_a_task_service_names_the_environments_that_have_it(tmp_path: Path) -> None:
    definition = workflow("uses", 2)
    install = {"id": "install", "type": "taskserv_batch", "provider": "simulated", "dependencies": ["web"]}
    definition["batch_workflow"]["operations"].append({**install, "taskservs": ["redis"]})

    async def main() -> Any:
        async with serving(tmp_path) as service:
            run = (await service.submit(definition)).json["run"]
            await service.until(run, "Completed")
            return (await service.get("/v1/taskservs/environments")).json["taskservs"]

    uses = asyncio.run(main())
    (environment,) = uses["redis"]
    assert (environment["name"], environment["simulated"]) == ("uses", True)
    assert (environment["servers"], environment["servers_more"]) == (["uses-0000", "uses-0001"], 0)
    assert list(uses) == ["redis"]


def test_the_audit_trail_is_told_in_pages(tmp_path: Path) -> None:
    async def main() -> tuple[str, list[Any], Any]:
        async with serving(tmp_path) as service:
            run = (await service.submit(workflow("audited", 1))).json["run"]
            for word in ("nothing-1", "nothing-2"):
                await service.post(f"{RUNS}/{word}/pause")
            pages, before = [], None
            while before != 0:
                more = {"before": str(before)} if before is not None else {}
                page = (await service.get("/v1/audit", params={"limit": "1", **more})).json
                pages += page["items"]
                before = page["before"] or 0
            return run, pages, (await service.get("/v1/audit", params={"run": run[:6]})).json

    run, entries, mine = asyncio.run(main())
    asked = [entry["what"].removeprefix(f"POST {RUNS}/") for entry in entries]
    assert asked == ["nothing-2/pause", "nothing-1/pause", "submit"]
    assert [entry["status"] for entry in entries] == [404, 404, 202]
    assert entries[0]["code"] == "run-not-found"
    assert [(entry["run"], entry["who"]) for entry in mine["items"]] == [(run, "local")]


def test_the_audit_trail_has_every_parameter_of_a_change() -> None:
    changing = [
        operation
        for path, item in json.loads(described())["paths"].items()
        for verb, operation in item.items()
        if verb in ("post", "delete") and path not in LOOKS
    ]
    names = {one["name"] for operation in changing for one in operation.get("parameters", ()) if one["in"] == "query"}
    assert names - {"comment"} == set(PARAMETERS)
