"""Environments over REST: the list, one of them, its runs, and what `latest` may not destroy."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from batchwright.api.app import described
from batchwright.client.http import RESERVED
from tests.support.nushell import ROOT
from tests.support.service_in_loop import RUNS, Answer, Serving, serving, workflow

ENVIRONMENTS = "/v1/environments"


async def completed(service: Serving, name: str, environment: str = "") -> str:
    more = {"environment": environment} if environment else {}
    run: str = (await service.submit(workflow(name, 2, **more))).json["run"]
    await service.until(run, "Completed")
    return run


def told(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["code"]


def test_the_list_and_one_with_its_servers_and_runs(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as service:
            assert (await service.get(ENVIRONMENTS)).json == {"items": []}
            first, second = await completed(service, "shop"), await completed(service, "shop", "eu")
            items = (await service.get(ENVIRONMENTS)).json["items"]
            assert [(one["name"], one["servers"], one["run"]) for one in items] == [
                ("shop", 2, first),
                ("shop/eu", 2, second),
            ]
            for path in ("shop/eu", "shop/eu?simulated=true"):
                one: dict[str, Any] = (await service.get(f"{ENVIRONMENTS}/{path}")).json
                assert (one["name"], one["run"], one["changing"]) == ("shop/eu", second, False)
                assert [server["name"] for server in one["resources"]] == ["shop-0000", "shop-0001"]
            for name, run in (("shop", first), ("simulated:shop/eu", second)):
                page = (await service.get(RUNS, params={"environment": name})).json
                assert [row["run"] for row in page["items"]] == [run]
                assert page["items"][0]["environment"] == name.removeprefix("simulated:")
            assert (await service.get(f"{RUNS}/simulated:shop")).json["run"] == first
            assert (await service.get(f"{RUNS}/shop")).json["environment"] == "shop"

    asyncio.run(main())


def test_a_file_of_other_servers_retires_only_if_the_request_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as service:
            await completed(service, "shop")
            other = workflow("shop", 1, changes={"retire": "allowed"})
            inner = other["batch_workflow"]
            inner["operations"][0]["server_configs"][0]["name"] = "other"
            refused = await service.submit(other)
            assert told(refused) == (422, "plan-refused")
            assert [one["code"] for one in refused.json["diagnostics"]] == ["environment-mismatch"]
            del inner["changes"]
            run = (await service.post(f"{RUNS}/submit?simulate=true&retire=true", json=other)).json["run"]
            await service.until(run, "Completed")
            (item,) = (await service.get(ENVIRONMENTS)).json["items"]
            assert item["servers"] == 1

    asyncio.run(main())


def test_an_unknown_name_is_told_with_the_closest_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as service:
            await completed(service, "shop", "eu")
            for path in (
                f"{ENVIRONMENTS}/shop/ew",
                f"{ENVIRONMENTS}/shop/eu?simulated=false",
                f"{RUNS}?environment=shop/ew",
            ):
                answer = await service.get(path)
                assert told(answer) == (404, "environment-not-found")
                assert "shop/eu" in answer.json["hint"]
            assert told(await service.get(f"{RUNS}/shoq")) == (404, "run-not-found")
            assert told(await service.get(f"{ENVIRONMENTS}/shop/eu?simulate=true")) == (400, "usage")

    asyncio.run(main())


def test_latest_destroys_nothing_where_there_are_several_environments(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as service:
            run = await completed(service, "shop")
            other = await completed(service, "mail")
            for path in ("rollback", "cancel?force=true", "gc?remove=true"):
                answer = await service.post(f"{RUNS}/latest/{path}")
                assert told(answer) == (409, "latest-ambiguous")
                assert "simulated:mail, simulated:shop" in answer.json["detail"]
            assert (await service.get(f"{RUNS}/latest")).json["status"] == "Completed"
            assert (await service.post(f"{RUNS}/latest/gc")).json["run"] == other
            assert (await service.post(f"{RUNS}/shop/rollback")).status == 202
            await service.until(run, "RolledBack")

    asyncio.run(main())


def test_both_clients_know_what_is_no_name_in_the_path_of_a_run() -> None:
    """An environment may be called as one of these calls; then its newest run is asked for by its id."""
    paths = json.loads(described())["paths"]
    fixed = {path.removeprefix(f"{RUNS}/") for path in paths if path.startswith(f"{RUNS}/") and "{" not in path}
    assert fixed == RESERVED
    module = (ROOT / "core" / "nulib" / "workflows" / "service.nu").read_text()
    assert re.search(r"const RESERVED = \[(.*)\]", module)[1].split() == sorted(fixed)  # type: ignore[index]


def test_the_key_of_a_submission_destroys_nothing(tmp_path: Path) -> None:
    """It was answered with the run that had been submitted, as if that destroyed something."""

    async def main() -> None:
        async with serving(tmp_path) as service:
            headers = {"Idempotency-Key": "once"}
            made = await service.submit(workflow("shop", 2), key="once")
            await service.until(made.json["run"], "Completed")
            reused = await service.post(f"{ENVIRONMENTS}/destroy", params={"environment": "shop"}, headers=headers)
            assert told(reused) == (422, "idempotency-mismatch")
            assert (await service.get(f"{ENVIRONMENTS}/shop")).json["servers"] == 2

    asyncio.run(main())


def test_an_environment_is_destroyed_after_a_look_and_once_for_a_key(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as service:
            first = await completed(service, "shop")
            where = {"environment": "shop"}
            plan = (await service.post(f"{ENVIRONMENTS}/destroy/plan", params=where)).json["plan"]
            assert [step["removes"] for step in plan["steps"]] == [True, True]
            stale = await service.post(f"{ENVIRONMENTS}/destroy", params={**where, "plan_hash": "0" * 16})
            assert told(stale) == (409, "plan-changed")
            headers, accepted = {"Idempotency-Key": "down"}, {**where, "plan_hash": plan["hash"]}
            answers = await asyncio.gather(
                *(service.post(f"{ENVIRONMENTS}/destroy", params=accepted, headers=headers) for _ in range(2))
            )
            assert [one.status for one in answers] == [202, 202]
            run = answers[0].json["run"]
            assert answers[1].json["run"] == run
            assert sorted(one.headers.get("idempotency-replayed", "") for one in answers) == ["", "true"]
            other = await service.post(f"{ENVIRONMENTS}/destroy", params={"environment": "blog"}, headers=headers)
            assert told(other) == (422, "idempotency-mismatch"), "a key stands for one destroy only"
            await service.until(run, "Completed")
            assert (await service.get(f"{ENVIRONMENTS}/shop")).json["servers"] == 0
            assert told(await service.post(f"{ENVIRONMENTS}/destroy", params=where)) == (409, "environment-empty")
            assert told(await service.post(f"{RUNS}/{first}/rollback")) == (409, "run-superseded")
            nothing = await service.post(f"{ENVIRONMENTS}/destroy", params={"environment": "shp"})
            assert told(nothing) == (404, "environment-not-found")

    asyncio.run(main())


def test_drift_is_asked_by_an_operator_and_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as service:
            run = await completed(service, "shop", "eu")
            found = (await service.get("/v1/drift", params={"environment": "shop/eu"})).json
            assert (found["ok"], found["run"], found["counts"]["same"]) == (True, run, 2)
            assert [(one["kind"], one["name"], one["state"]) for one in found["items"]] == [
                ("server", "shop-0000", "same"),
                ("server", "shop-0001", "same"),
            ]
            assert told(await service.get("/v1/drift", params={"environment": "shp"})) == (404, "environment-not-found")
            assert (await service.get(RUNS)).json["items"][0]["run"] == run

    asyncio.run(main())
