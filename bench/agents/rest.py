"""An assistant over the plain REST API: its tools are the calls that look, its answers are what the service sends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from functools import cache
from typing import Any
from urllib.parse import urlencode

import msgspec

from batchwright.api.app import described, make_app
from batchwright.api.progress import EventFrames
from batchwright.app.access_tokens import Tokens
from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from batchwright.mcp.loopback import LoopbackTransport
from batchwright.model.role import Role
from batchwright.service.health import HealthMonitor
from batchwright.service.run_supervisor import RunSupervisor
from bench.agents.arms import Asked
from bench.agents.tokens import compact
from bench.agents.worlds import AgentWorld

RUNS = "/v1/workflows/batch"
PAGE = 500
# what an assistant about runs is given: the calls that look, in the words of the OpenAPI document
TOOLS = (
    *(RUNS, f"{RUNS}/stats", f"{RUNS}/{{run}}", f"{RUNS}/{{run}}/progress", f"{RUNS}/{{run}}/events"),
    *(f"{RUNS}/{{run}}/logs", f"{RUNS}/{{run}}/explain", f"{RUNS}/{{run}}/servers", f"{RUNS}/{{run}}/rollback"),
    *(f"{RUNS}/{{run}}/steps", f"{RUNS}/{{run}}/failures", f"{RUNS}/{{run}}/why", "/v1/environments"),
    *("/v1/approvals", "/v1/providers", f"{RUNS}/validate", f"{RUNS}/plan"),
)
Request = tuple[str, str, dict[str, str], str]  # method, path, query, body


@cache
def definitions() -> str:
    """The tools as a model gets them: one for each call, with its own words and parameters."""
    document = json.loads(described())
    tools = []
    for path in TOOLS:
        for method, call in document["paths"][path].items():
            parameters = [one for one in call.get("parameters", ()) if one["in"] != "header"]
            properties = {one["name"]: _schema(one) for one in parameters}
            body = {"body": {"type": "string"}} if method == "post" else {}
            schema = {"type": "object", "properties": {**properties, **body}}
            name = f"{method}_{path.removeprefix('/v1/').translate(str.maketrans('/', '_', '{}'))}"
            tools.append({"name": name, "description": call.get("description", ""), "inputSchema": schema})
    return compact(tools)


def _schema(parameter: dict[str, Any]) -> dict[str, Any]:
    about = {"description": parameter["description"]} if "description" in parameter else {}
    return {"type": parameter.get("schema", {}).get("type", "string"), **about}


def requests(world: AgentWorld, task: str) -> list[list[Request]]:
    """The calls for a task, in rounds of calls side by side: an assistant that knows which call says what."""
    run, before = f"{RUNS}/{world.current.id}", f"{RUNS}/{world.earlier.id}"

    def look(path: str, **query: str) -> Request:
        return "GET", path, query, ""

    def steps(of: str, total: int) -> list[Request]:
        return [look(f"{of}/steps", order="plan", limit=str(PAGE), offset=str(at)) for at in range(0, total, PAGE)]

    both = [*steps(run, len(world.current.records)), *steps(before, len(world.earlier.records))]
    return {
        "T1": [[look(f"{run}/why"), look(f"{run}/failures")], [look(f"{run}/explain", step=world.cause.steps[0])]],
        "T2": [[look(run)]],
        "T3": [[("FILE", world.file.name, {}, world.file.read_text())]],
        "T4": [[look(f"{run}/rollback"), look(run)]],
        "T5": [[look(run), look(before)], both],
        "T6": [[look(run), look(before)], both],
        "T7": [[("POST", f"{RUNS}/validate", {}, world.broken.read_text())]],
        "T8": [[("POST", f"{RUNS}/plan", {"simulate": "true"}, world.file.read_text())]],
    }[task]


async def answers(world: AgentWorld, tasks: Sequence[str]) -> dict[str, list[list[Asked]]]:
    """What a service over the world's store answers to the requests of each task."""
    return await _served(world.settings, {task: requests(world, task) for task in tasks})


async def _served(settings: Settings, asked: dict[str, list[list[Request]]]) -> dict[str, list[list[Asked]]]:
    clock = SystemClock()
    tokens = Tokens(settings)
    _, secret = tokens.create(f"bench-{len(tokens.all())}", Role.ADMIN, clock.now(), None)
    async with RunSupervisor(settings, clock, EventFrames()) as supervisor, HealthMonitor(supervisor) as monitor:
        scope: Any = {"type": "http", "http_version": "1.1", "scheme": "http", "client": ("127.0.0.1", 1)}
        scope |= {"server": ("127.0.0.1", 9090), "state": {}, "root_path": "", "asgi": {"version": "3.0"}}
        loop = asyncio.get_running_loop()
        service = LoopbackTransport(make_app(supervisor, monitor), scope, loop)

        async def one(request: Request) -> Asked:
            method, path, query, body = request
            if method == "FILE":  # read by the client itself
                return Asked(compact({"file": path}), body)
            headers = {"authorization": f"Bearer {secret}", "content-type": "text/x-nickel", "host": "localhost"}
            got = await service._call(method, path, list(query.items()), headers, body.encode())
            assert got.status in (200, 422), (path, got.status)
            told = {"path": f"{path}?{urlencode(query)}".rstrip("?")}  # a file is sent by the client, not by the model
            return Asked(compact(told), msgspec.json.encode(msgspec.json.decode(got.read())).decode())

        found = {task: [[await one(call) for call in calls] for calls in rounds] for task, rounds in asked.items()}
        await supervisor.stop(0.0)
    return found
