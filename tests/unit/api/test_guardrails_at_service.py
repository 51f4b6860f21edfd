"""The operator's guardrails at every door of a service: nothing that a client sends lifts them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from batchwright.app.guardrail_settings import Guardrails
from batchwright.model.guardrail_limits import GuardrailLimits
from tests.support.service_in_loop import FAST, RUNS, Answer, Serving, serving, workflow

SIM = [("simulate", "true"), *(("sim", f"{key}={value}") for key, value in FAST.items())]
RULE = """{ rules.owner = {
  deny = fun plan =>
    plan.servers
    |> std.array.filter (fun one => !(std.record.has_field "owner" one.labels))
    |> std.array.map (fun one => { message = "%{one.name} has no owner", at = one.name }),
} }"""
CLOSED = '{ rules.closed = { deny = fun plan => true, message = "closed" } }'


def codes(answer: Answer) -> list[str]:
    return [one["code"] for one in answer.json["diagnostics"]]


async def asked(service: Serving, door: str, definition: dict[str, Any]) -> Answer:
    return await service.post(f"{RUNS}/{door}", params=SIM, json=definition)


def test_limits_refuse_a_plan_and_a_submit_whatever_the_workflow_says(tmp_path: Path) -> None:
    async def main() -> None:
        rails = Guardrails(GuardrailLimits(servers=2))
        async with serving(tmp_path, guardrails=rails) as service:
            for rest in ({}, {"limits": {"servers": 100}}):
                for door in ("plan", "submit"):
                    answer = await asked(service, door, workflow(count=3, **rest))
                    assert (answer.status, answer.json["code"], codes(answer)) == (
                        422,
                        "plan-refused",
                        ["limit-exceeded"],
                    )
            assert (await service.get(RUNS)).json["items"] == []
            assert (await asked(service, "submit", workflow(count=2))).status == 202

    asyncio.run(main())


def test_rules_refuse_a_plan_a_submit_and_a_destroy(tmp_path: Path) -> None:
    policy = tmp_path / "policy.ncl"

    async def main() -> None:
        async with serving(tmp_path / "state", guardrails=Guardrails(policy=policy)) as service:
            policy.write_text(RULE)
            for door in ("plan", "submit"):
                answer = await asked(service, door, workflow(count=2))
                assert (answer.status, codes(answer)) == (422, ["policy-denied"] * 2)
                assert answer.json["diagnostics"][0]["message"] == "flow-0000 has no owner (rule owner)"
                assert answer.json["diagnostics"][0]["line"] > 0
            owned = workflow(count=2)
            for server in owned["batch_workflow"]["operations"][0]["server_configs"]:
                server["labels"] = {"owner": "%{std.fail_with 1}"}
            answer = await asked(service, "submit", owned)
            assert answer.status == 202
            await service.until(answer.json["run"], "Completed")
            policy.write_text(CLOSED)
            for door in ("destroy", "destroy/plan"):
                answer = await service.post(f"/v1/environments/{door}", params={"environment": "flow"})
                assert (answer.status, codes(answer)) == (422, ["policy-denied"])
            policy.unlink()
            answer = await asked(service, "plan", owned)
            assert (answer.status, codes(answer)) == (422, ["policy-invalid"])

    asyncio.run(main())


def test_a_client_brings_no_policy(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as service:
            answer = await asked(service, "submit", workflow(policy="mine.ncl"))
            assert (answer.status, codes(answer)) == (422, ["unknown-field"])
            params = [*SIM, ("policy", "mine.ncl")]
            answer = await service.post(f"{RUNS}/submit", params=params, json=workflow())
            assert answer.status == 400

    asyncio.run(main())
