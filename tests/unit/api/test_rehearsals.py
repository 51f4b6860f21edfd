"""Rehearsals at a service: for operators, few at a time, in a process of their own that ends with its client."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from batchwright.errors import TooManyRequests
from batchwright.service.rehearsal_worker import RehearsalJob
from batchwright.service.rehearsals import LEFT_SECONDS, RUNNING, Rehearsal, Rehearsals, RehearsalState
from tests.support.service_in_loop import Answer, workflow
from tests.unit.api.test_proposals import House, house

REHEARSALS = "/v1/rehearsals"
FEW = {"faults": "lost_answers", "seconds": "5"}
RULE = """{
  rehearsal = { never = [fun end => end.status == "Completed"] },
  batch_workflow = {
    name = "shop", version = "1", parallel_limit = 2,
    operations = [{ id = "up", type = "server_batch", provider = "upcloud",
      server_configs = [{ name = "web-1", plan = "1xCPU-2GB", zone = "de-fra1" }] }],
  },
}"""

# Its rehearsal lasts as long as it may: a short one could have ended before somebody ends it
LONG = RULE.replace(
    '[{ name = "web-1", plan = "1xCPU-2GB", zone = "de-fra1" }]',
    'std.array.generate (fun n => { name = "web-%{std.to_string n}", plan = "1xCPU-2GB", zone = "de-fra1" }) 100',
)


async def until(house: House, name: str) -> dict[str, Any]:
    for _ in range(3_000):
        answer = await house.ask("ada", "GET", f"{REHEARSALS}/{name}")
        assert answer.status == 200
        if answer.json["state"] != "running":
            return answer.json  # type: ignore[no-any-return]
        await asyncio.sleep(0.05)
    raise AssertionError("it does not end")


async def asked(house: House, who: str = "ada", **more: str) -> Answer:
    return await house.ask(who, "POST", REHEARSALS, params={**FEW, **more}, json=workflow("flow", 2))


def test_an_operator_rehearses_and_others_may_not(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as one:
            assert [(await asked(one, who)).status for who in ("look", "agent", "other")] == [403] * 3
            begun = await asked(one)
            assert (begun.status, begun.json["state"], begun.json["workflow"]) == (202, "running", "flow")
            assert (await one.ask("look", "GET", f"{REHEARSALS}/{begun.json['id']}")).status == 403
            done = await until(one, begun.json["id"])
            assert (done["state"], done["problem"]) == ("finished", None)
            assert done["report"]["self_check"]["runs"] > 0
            assert done["report"]["file"] == "workflow.json"
            assert done["runs"] == done["report"]["coverage"]["runs"] > 1
            text = await one.ask("ada", "POST", REHEARSALS, params=FEW, data=RULE, type="text/x-nickel")
            ruled = (await until(one, text.json["id"]))["report"]
            assert [(f["kind"], f["line"]) for f in ruled["findings"] if f["level"] == "error"] == [("user", 2)]
            wrong = await one.ask("ada", "POST", REHEARSALS, json={"batch_workflow": {}})
            assert (wrong.status, wrong.json["code"]) == (422, "workflow-invalid")
            assert (await one.ask("ada", "GET", f"{REHEARSALS}/{'0' * 16}")).status == 404
            unknown = await until(one, (await asked(one, faults="meteor")).json["id"])
            assert (unknown["state"], unknown["problem"]["code"]) == ("failed", "usage")

    asyncio.run(main())


class Hours:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, _seconds: float) -> None:
        await asyncio.sleep(0.01)


async def ended(told: Rehearsal) -> None:
    for _ in range(3_000):
        if told.state is not RehearsalState.RUNNING:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it goes on")


def test_it_ends_when_it_is_cancelled_or_its_client_is_gone(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Hours()
        rehearsals = Rehearsals(clock)
        job = RehearsalJob(LONG, "workflow.ncl", str(tmp_path), seconds=50.0)
        one, two = (rehearsals.begin(job, "shop", "ada") for _ in range(RUNNING))
        with pytest.raises(TooManyRequests):
            rehearsals.begin(job, "shop", "ada")
        assert (await rehearsals.cancel(one.id)).state is RehearsalState.CANCELLED
        clock.at += LEFT_SECONDS - 1
        assert rehearsals.find(two.id).state is RehearsalState.RUNNING
        clock.at += LEFT_SECONDS + 1
        await ended(two)
        assert two.state is RehearsalState.CANCELLED
        await rehearsals.aclose()
        clock.at += 3_601
        assert rehearsals.begin(job, "shop", "ada").id not in (one.id, two.id)
        await rehearsals.aclose()

    asyncio.run(main())
    assert not [one for one in children_of_this_process() if "rehearsal_worker" in one]


def children_of_this_process() -> list[str]:
    """Their command lines; one that ends meanwhile has none."""
    found = []
    for child in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
        with suppress(OSError):
            found.append(Path(f"/proc/{child}/cmdline").read_text())
    return found
