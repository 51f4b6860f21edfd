"""Questions to people through a service: shown, answered once, and a run that waits for them rests."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from batchwright.app.access_tokens import Tokens
from batchwright.app.approvals import AnswerRequest, answer
from batchwright.app.multi_store import Stores
from batchwright.app.settings import Settings
from batchwright.journal.replay import load_run
from batchwright.model.approver import Principal
from batchwright.model.role import Role
from batchwright.service import run_supervisor
from tests.support.service_in_loop import RUNS, Serving, serving, workflow


def asking(name: str = "flow", **more: Any) -> dict[str, Any]:
    """Asks before it creates a server."""
    definition = workflow(name, 1)
    inner = definition["batch_workflow"]
    question = {"id": "ok", "type": "approval", "ask": "Create ${workflow.name}?", **more}
    inner["operations"] = [question, {**inner["operations"][0], "dependencies": ["ok"]}]
    return definition


async def asked(service: Serving, run: str = "", count: int = 1) -> list[dict[str, Any]]:
    """Look until so many questions are open."""
    for _ in range(6_000):
        found: list[dict[str, Any]] = (await service.get("/v1/approvals", params={"run": run})).json["items"]
        if len(found) == count:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"{len(found)} questions are open")


def bound(question: dict[str, Any], **more: str) -> dict[str, str]:
    return {"hash": question["hash"], "ask": str(question["ask"]), **more}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs rest at once, and are looked at often."""
    monkeypatch.setattr(run_supervisor, "REST_SECONDS", 0.0)
    monkeypatch.setattr(run_supervisor, "AGAIN_SECONDS", 0.05)


async def resting(service: Serving, run: str) -> None:
    for _ in range(6_000):
        if run in service.supervisor.resting and run not in service.supervisor.driven:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it does not rest")


def test_a_question_is_shown_and_answered(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as service:
            run = (await service.submit(asking())).json["run"]
            [question] = await asked(service)
            assert (question["run"], question["step"]) == (run, "ok/ask")
            assert (question["question"], question["counts"]) == ("Create flow?", {"create": 1})
            listed = (await service.get(RUNS)).json["items"]
            assert [(row["asks"], row["driven"]) for row in listed] == [(1, True)]
            wrong = await service.post(f"{RUNS}/{run}/approve", params=bound(question, hash="0" * 16))
            assert (wrong.status, wrong.json["code"]) == (409, "approval-outdated")
            given = bound(question, comment="fine")
            for _ in range(2):  # as after a lost answer
                assert (await service.post(f"{RUNS}/{run}/approve", params=given)).status == 202
            refusal = await service.post(f"{RUNS}/{run}/refuse", params=bound(question))
            assert (refusal.status, refusal.json["code"]) == (409, "not-allowed")
            await service.until(run, "Completed")
            [event] = [one for one in await service.events(run) if one["type"] == "hold_answered"]
            assert (event["yes"], event["comment"], "@" in event["principal"]) == (True, "fine", True)
            assert (await service.get("/v1/approvals")).json["items"] == []

    asyncio.run(main())


def test_a_run_rests_until_somebody_answers(tmp_path: Path, quick: None) -> None:
    async def main() -> None:
        async with serving(tmp_path) as service:
            run = (await service.submit(asking())).json["run"]
            [question] = await asked(service, run)
            await resting(service, run)
            view = (await service.get(f"{RUNS}/{run}")).json
            assert (view["driven"], view["next"].startswith("answer it")) == (True, True)
            paused = await service.post(f"{RUNS}/{run}/pause")
            assert (paused.status, paused.json["status"]) == (202, "Paused")
            await service.post(f"{RUNS}/{run}/resume")
            await resting(service, run)
            refusal = await service.post(f"{RUNS}/{run}/refuse", params=bound(question, comment="not today"))
            assert refusal.status == 202
            end = await service.until(run, "Failed")
            assert [(one["step"], one["message"]) for one in end["failed"]] == [("ok/ask", "local refused: not today")]
            late = await service.post(f"{RUNS}/{run}/approve", params=bound(question))
            assert late.status == 409

    asyncio.run(main())


def test_a_resting_run_hears_what_another_process_left_and_when_its_question_expires(
    tmp_path: Path, quick: None
) -> None:
    async def main() -> None:
        async with serving(tmp_path) as service:
            first = (await service.submit(asking("first"))).json["run"]
            second = (await service.submit(asking("second", expires="2s", on_expiry="go_on"))).json["run"]
            await asked(service, first)
            await resting(service, first)
            await _left_by_another(tmp_path, first)
            await service.until(first, "Completed")
            await service.until(second, "Completed")

    asyncio.run(main())


async def _left_by_another(folder: Path, run: str) -> None:
    """An answer of another process, which shares only the store."""
    settings = Settings(folder)
    async with Stores(settings) as stores:
        journal = await stores.get("filesystem")
        folded = await load_run(journal, run)
        who = Principal("1@there", "ada")
        await answer(journal, folded, AnswerRequest(True), who, settings, folded.updated_at + 1.0)


def test_with_tokens_somebody_else_answers(tmp_path: Path) -> None:
    tokens = Tokens(Settings(tmp_path))
    made = {name: tokens.create(name, role, 0.0, None)[1] for name, role in ROLES.items()}

    def of(name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {made[name]}"}

    async def main() -> None:
        async with serving(tmp_path, closed=True) as service:
            path, sim = f"{RUNS}/submit", {"simulate": "true"}
            few = await service.post(path, params=sim, json=asking("few", quorum=3), headers=of("ada"))
            assert (few.status, few.json["code"]) == (422, "quorum-unreachable")
            submitted = await service.post(path, params=sim, json=asking(of=["lead"]), headers=of("ada"))
            run = submitted.json["run"]
            for _ in range(6_000):
                found = (await service.get("/v1/approvals", headers=of("look"))).json["items"]
                if found:
                    break
                await asyncio.sleep(0.02)
            [question] = found
            assert question["who"] == "lead, but not ada, who submitted it"
            for name in ("ada", "ops"):
                refused = await service.post(f"{RUNS}/{run}/approve", params=bound(question), headers=of(name))
                assert (refused.status, refused.json["code"]) == (403, "approver-refused")
            looks = await service.post(f"{RUNS}/{run}/approve", params=bound(question), headers=of("look"))
            assert (looks.status, looks.json["code"]) == (403, "forbidden")
            given = await service.post(f"{RUNS}/{run}/approve", params=bound(question), headers=of("lead"))
            assert given.status == 202

    asyncio.run(main())


ROLES = {"ada": Role.OPERATOR, "ops": Role.OPERATOR, "lead": Role.OPERATOR, "look": Role.VIEWER}
