"""Submitting: every language, what is refused and how it is told, and keys that hold across restarts."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from batchwright.app.access_tokens import Tokens
from batchwright.app.multi_store import Stores
from batchwright.app.settings import Settings
from batchwright.loader import load
from batchwright.model.role import Role
from batchwright.service import run_feeds
from batchwright.service.submissions import Submissions
from batchwright.views.definition import definition
from tests.support.service_in_loop import RUNS, Answer, serving, workflow

EXAMPLE = Path(__file__).parents[3] / "workflows" / "example_batch.ncl"
NICKEL = {"Content-Type": "text/x-nickel"}


def test_every_language_makes_the_same_run(tmp_path: Path) -> None:
    source = EXAMPLE.read_text()
    evaluated = load(EXAMPLE).workflow
    assert evaluated is not None
    plain = definition(evaluated)
    bodies = [
        (NICKEL, source.encode()),
        ({"Content-Type": "application/json"}, json.dumps({"batch_workflow": plain}).encode()),
        ({"Content-Type": "application/json; charset=utf-8"}, json.dumps(plain).encode()),
        ({"Content-Type": "application/yaml"}, yaml.safe_dump({"batch_workflow": _given(plain)}).encode()),
    ]

    async def main() -> list[Any]:
        async with serving(tmp_path) as service:
            answers = [
                await service.post(f"{RUNS}/plan?simulate=true", data=body, headers=kind) for kind, body in bodies
            ]
            assert [answer.status for answer in answers] == [200] * len(bodies), [answer.body for answer in answers]
            return [answer.json for answer in answers]

    plans = asyncio.run(main())
    assert all(plan["ok"] for plan in plans)
    assert len({plan["plan"]["hash"] for plan in plans}) == 1


def _given(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _given(one) for key, one in value.items() if one is not None}
    return [_given(one) for one in value] if isinstance(value, list | tuple) else value


def test_a_submitted_run_is_driven_to_its_end(tmp_path: Path) -> None:
    async def main() -> tuple[Any, Any, Any]:
        async with serving(tmp_path) as service:
            answer = await service.submit(workflow())
            run = answer.json["run"]
            return answer, await service.until(run, "Completed"), await service.events(run)

    answer, view, events = asyncio.run(main())
    assert answer.status == 202
    assert answer.headers["location"] == view["run"]  # beside /submit
    assert answer.json["status"] == "Pending"
    assert (view["done"], view["total"], view["driven"]) == (3, 3, False)
    assert events[0]["type"] == "run_created"
    assert events[0]["by"] == "local"


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        (NICKEL, b"{ batch_workflow = ", 422, "workflow-invalid"),
        (NICKEL, b'import "/etc/passwd"', 422, "workflow-invalid"),
        (NICKEL, b"let rec f = fun x => f x in f 1", 422, "workflow-invalid"),
        (NICKEL, b"nobody_defines_this", 422, "workflow-invalid"),
        (NICKEL, b"\xff\xfe", 400, "body-unreadable"),
        ({"Content-Type": "application/json"}, b"[1]", 400, "body-unreadable"),
        ({"Content-Type": "application/json"}, b"[" * 100_000, 422, "workflow-invalid"),
        ({"Content-Type": "text/plain"}, b"{}", 415, "media-type-unknown"),
        ({"Content-Type": "application/json"}, b" " * 5_000_000, 413, "body-too-large"),
    ],
)
def test_what_is_refused_is_told_as_a_problem(
    headers: dict[str, str], body: bytes, status: int, code: str, tmp_path: Path
) -> None:
    async def main() -> Any:
        async with serving(tmp_path) as service:
            return await service.post(f"{RUNS}/submit", data=io.BytesIO(body), headers=headers)

    answer = asyncio.run(main())
    assert (answer.status, answer.json["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["type"] == f"urn:batchwright:{code}"
    assert (status == 422) is bool(answer.json.get("diagnostics"))


def test_all_mistakes_are_told_with_their_places(tmp_path: Path) -> None:
    source = EXAMPLE.read_text().replace('plan = "1xCPU-2 GB"', "plan = 7").replace('"aws"', '"awz"')

    async def main() -> Any:
        async with serving(tmp_path) as service:
            return (await service.post(f"{RUNS}/validate", data=source.encode(), headers=NICKEL)).json

    told = asyncio.run(main())["diagnostics"]
    assert len(told) >= 3
    assert all(one["line"] and one["column"] for one in told)


def test_a_plan_that_changed_is_refused(tmp_path: Path) -> None:
    async def main() -> Any:
        async with serving(tmp_path) as service:
            path = f"{RUNS}/submit?simulate=true&plan_hash={'0' * 16}"
            return await service.post(path, json=workflow())

    answer = asyncio.run(main())
    assert (answer.status, answer.json["code"]) == (409, "plan-changed")


def test_the_same_key_is_the_same_run_even_after_a_restart(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        async with serving(tmp_path) as service:
            at_once = await asyncio.gather(*(service.submit(workflow(), key="k1") for _ in range(5)))
        async with serving(tmp_path) as service:
            again = await service.submit(workflow(), key="k1")
            other = await service.submit(workflow("other"), key="k1")
            with pytest.MonkeyPatch.context() as patch:  # none of it reads all runs, or reads back what it has written
                patch.setattr(Stores, "summaries", None)
                patch.setattr(run_feeds, "load_run", None)
                assert (await service.submit(workflow("two"), key="k2")).status == 202
            rows = (await service.get(RUNS)).json["items"]
        return [at_once, again, other, rows]

    at_once, again, other, rows = asyncio.run(main())
    assert len({one.json["run"] for one in (*at_once, again)}) == 1
    assert sum("idempotency-replayed" not in one.headers for one in at_once) == 1
    assert again.headers["idempotency-replayed"] == "true"
    assert (other.status, other.json["code"]) == (422, "idempotency-mismatch")
    assert len(rows) == 2


def test_a_key_of_before_ids_were_made_from_keys_still_holds(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Submissions, "run_id", lambda *_: "")
            async with serving(tmp_path) as service:
                first = await service.submit(workflow(), key="k1")
        async with serving(tmp_path) as service:
            return [first, await service.submit(workflow(), key="k1"), await service.submit(workflow("b"), key="k1")]

    first, again, other = asyncio.run(main())
    assert first.json["run"] == again.json["run"]
    assert other.json["code"] == "idempotency-mismatch"


def test_who_submits_too_often_has_to_wait(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        async with serving(tmp_path, submit_rate=0.01, submit_burst=2) as service:
            return [await service.post(f"{RUNS}/validate", json=workflow()) for _ in range(3)]

    answers = asyncio.run(main())
    assert [one.status for one in answers] == [200, 200, 429]
    assert answers[2].json["code"] == "too-many-requests"
    assert answers[2].headers["retry-after"]


def test_a_key_belongs_to_its_caller(tmp_path: Path) -> None:
    """A1, A8: who guesses the key of somebody else gets neither that run nor word of it, and hinders nobody."""
    tokens = Tokens(Settings(tmp_path))
    ada, bob = ({"Authorization": f"Bearer {tokens.create(name, Role.OPERATOR, 0.0, None)[1]}"} for name in "ab")

    async def main() -> list[Answer]:
        async with serving(tmp_path) as service:
            return [
                await service.post(
                    f"{RUNS}/submit?simulate=true", json=body, headers={**who, "Idempotency-Key": "nightly"}
                )
                for who, body in (
                    (ada, workflow()),
                    (bob, workflow("bobs")),
                    (ada, workflow()),
                    (bob, workflow("other")),
                )
            ]

    first, other, again, mismatch = asyncio.run(main())
    assert [first.status, other.status, again.status, mismatch.status] == [202, 202, 202, 422]
    assert first.json["run"] == again.json["run"] != other.json["run"]
    assert "idempotency-replayed" not in other.headers
    assert first.json["run"] not in mismatch.json["detail"]
