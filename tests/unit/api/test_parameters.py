"""What an operation does not take is refused: a misspelt parameter is never one that is ignored."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from litestar.routes import HTTPRoute

from batchwright.api.app import _calls, described
from batchwright.api.unknown_parameters import TakenParameters, taken_by
from tests.support.service_in_loop import FAST, RUNS, Serving, serving, workflow


async def completed(service: Serving) -> str:
    run: str = (await service.submit(workflow())).json["run"]
    await service.until(run, "Completed")
    return run


PARAMETERS = [
    ("POST", "submit", "simulat=true", "Did you mean simulate?"),
    ("POST", "submit", "plan_hsah=0123456789abcdef", "Did you mean plan_hash?"),
    ("POST", "submit", "SIMULATE=true", "Did you mean simulate?"),
    ("POST", "submit", "simulate=true&simulate=false", "Give it once."),
    ("POST", "submit", "hold=3", "It takes: "),
    ("POST", "plan", "sims=a=b", "Did you mean sim?"),
    ("POST", "validate", "simulate=true", "It takes no parameters."),
    ("POST", "{run}/rollback", "dry_run=true", "It takes no parameters."),
    ("POST", "{run}/cancel", "forced=true", "Did you mean force?"),
    ("POST", "{run}/resume", "re-do=a/b", "Did you mean redo?"),
    ("GET", "{run}/rollback", "x", "It takes no parameters."),
    ("GET", "{run}/events", "afterr=3", "Did you mean after?"),
    ("GET", "stats", "until=3d", "It takes: since"),
    ("GET", "", "state=Running", "Did you mean status?"),
    ("GET", "", "name=a&name=b", "Give it once."),
    ("GET", "/docs", "a=b", "It takes no parameters."),
    ("GET", "/health", "verbose=1", "It takes no parameters."),
]
HEADERS = [
    ("submit", {"Idempotency_Key": "k"}, "Did you mean idempotency-key?"),
    ("submit", {"Idempotencykey": "k"}, "Did you mean idempotency-key?"),
    ("submit", {"If-Match": '"a"'}, "It takes: idempotency-key"),
    ("{run}/rollback", {"If-Matches": '"aaaaaaaaaaaa-1"'}, "Did you mean if-match?"),
]


def test_a_parameter_that_is_not_known_is_refused(tmp_path: Path) -> None:
    """C2: with what was meant; and nothing has happened."""

    async def main() -> None:
        async with serving(tmp_path) as service:
            run = await completed(service)
            before = await service.events(run)
            for method, path, query, told in PARAMETERS:
                where = path if path.startswith("/") else f"{RUNS}/{path.format(run=run)}".rstrip("/")
                how: dict[str, Any] = {"json": workflow()} if path in ("submit", "plan", "validate") else {}
                answer = await service.ask(method, f"{where}?{query}", **how)
                assert (answer.status, answer.json["code"]) == (400, "usage"), (path, query, answer.body)
                assert told in answer.json["hint"], (path, query)
            assert await service.events(run) == before
            assert len((await service.get(RUNS)).json["items"]) == 1

    asyncio.run(main())


def test_a_header_of_ours_that_is_misspelt_is_refused(tmp_path: Path) -> None:
    """C2: other headers are nobody's business: a proxy adds what it likes."""

    async def main() -> None:
        async with serving(tmp_path) as service:
            run = await completed(service)
            for path, headers, told in HEADERS:
                how: dict[str, Any] = {"json": workflow()} if path == "submit" else {}
                answer = await service.post(f"{RUNS}/{path.format(run=run)}", headers=headers, **how)
                assert (answer.status, told in answer.json["hint"]) == (400, True), answer.body
            others = {"X-Request-Id": "1.2.3.4", "Traceparent": "00-1-1-00", "Idempotency-Key": "k"}
            assert (await service.post(f"{RUNS}/{run}/checks", headers=others)).status == 200

    asyncio.run(main())


def test_what_is_sent_where_nothing_is_read_is_refused(tmp_path: Path) -> None:
    """C2: `{"dry_run": true}` as the body of a rollback is no dry run."""

    async def main() -> None:
        async with serving(tmp_path) as service:
            run = await completed(service)
            answer = await service.post(f"{RUNS}/{run}/rollback", json={"dry_run": True})
            assert (answer.status, answer.json["code"]) == (400, "usage")
            assert (await service.get(f"{RUNS}/{run}")).json["status"] == "Completed"
            assert (await service.post(f"{RUNS}/{run}/rollback", json={})).status == 202

    asyncio.run(main())


def test_addresses_hold_under_a_path_of_a_proxy(tmp_path: Path) -> None:
    """C13: what the service tells of its own addresses is relative to what was asked."""

    async def main() -> None:
        async with serving(tmp_path) as service:
            params = [("simulate", "true"), *(("sim", f"{k}={v}") for k, v in FAST.items())]
            answer = await service.post(f"{RUNS}/submit", params=params, json=workflow())
            assert answer.headers["location"] == answer.json["run"]  # beside /submit
            front = await service.get("/", allow_redirects=False)
            assert (front.status, front.headers["location"]) == (307, "docs")
            page = (await service.get("/docs")).body.decode()
            assert 'fetch("openapi.json")' in page
            assert 'href="/' not in page

    asyncio.run(main())


def test_the_guard_and_the_document_say_the_same() -> None:
    """C2: each operation takes what the OpenAPI document lists, and nothing else."""
    document = msgspec.json.decode(described())
    seen = set()
    for route in (route for route in _calls().routes if isinstance(route, HTTPRoute)):
        for method, (handler, _) in route.route_handler_map.items():
            operation = document["paths"].get(route.path_format, {}).get(method.lower())
            if operation is None:  # OPTIONS, and pages
                continue
            seen.add((route.path_format, method.lower()))
            named = operation.get("parameters", ())
            query = {one["name"]: one["schema"] for one in named if one["in"] == "query"}
            assert taken_by(handler) == TakenParameters(
                frozenset(query),
                frozenset(name for name, schema in query.items() if is_list(schema)),
                frozenset(one["name"].lower() for one in named if one["in"] == "header"),
                "requestBody" in operation,
            ), operation["operationId"]
    assert seen == {(path, method) for path, item in document["paths"].items() for method in item}


def is_list(schema: Any) -> bool:
    return schema.get("type") == "array" or any(map(is_list, schema.get("anyOf", ())))
