"""The ways in which a question is answered: what each sends to a model, and what comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from msgspec import Struct

from batchwright.agents.roles.prompt import prompt_of
from batchwright.agents.roles.registry import ROLES, answered
from batchwright.agents.slices.run_source import RunSource
from batchwright.app.definition_edit import DefinitionChange, edit_definition
from batchwright.app.file_role_sources import read_plan
from batchwright.app.workflow_source import Source
from batchwright.client.local import LocalClient
from batchwright.mcp.plan_change import ChangePlanner
from batchwright.mcp.tool_calls import ToolCalls
from batchwright.mcp.tools import offered
from batchwright.views.plan import plan_view
from batchwright.views.steps import step_lines
from bench.agents.tokens import compact
from bench.agents.worlds import AgentWorld

LEAN = "You answer questions about batch runs of infrastructure operations from the data below. Answer briefly.\n"
ROUTER = (
    "Choose who answers: monitor (how far), diagnoser (why it failed), recovery (resume, roll back), provider NAME "
    "(slow, throttled), reporter (against the last good run), author (change a file), reviewer and planner (a file). "
    "Reply with the names only.\n"
)
Call = tuple[str, dict[str, Any]]


class Asked(Struct, frozen=True):
    """One call of a tool and its answer, as a model's client has them in the conversation."""

    call: str
    answer: str


# -- everything in one prompt ---------------------------------------------------------------------------------------


def sections(world: AgentWorld) -> dict[str, str]:
    """All that is known of a world, as compact JSON, each kind under its name."""
    now = world.current.updated_at
    return {
        "file": world.file.read_text(),
        "edited file": world.broken.read_text(),
        "plan": compact(plan_view(world.current.plan)),
        "steps": compact(step_lines(world.current, now)),
        "events": compact(world.events[1:]),  # the first holds the plan
        "steps of the last good run": compact(step_lines(world.earlier, now)),
        "events of the last good run": compact(world.earlier_events[1:]),
    }


NEEDED = {  # what of it a perfect hand would pick for each task
    "T1": ("steps",),
    "T2": ("steps",),
    "T3": ("file",),
    "T4": ("steps",),
    "T5": ("steps", "steps of the last good run"),
    "T6": ("steps", "steps of the last good run"),
    "T7": ("edited file",),
    "T8": ("plan",),
}


def lean_prompt(found: Mapping[str, str], names: Sequence[str] = ()) -> str:
    """One prompt with all these sections, or with the named ones."""
    return LEAN + "".join(f"\n## {name}\n{text}\n" for name, text in found.items() if not names or name in names)


# -- roles ----------------------------------------------------------------------------------------------------------


class RoleText(Struct, frozen=True):
    """What a role gets: its prompt as it is sent to a model, and the slice in it."""

    role: str
    prompt: str
    text: str


def role_texts(world: AgentWorld, task: str, source: RunSource | None = None) -> list[RoleText]:
    """What each role of a task gets."""
    about = source or world.source
    if task == "T3":
        edit = edit_definition(world.settings, Source(world.file), DefinitionChange(world.like, 2))
        return [_prompt("author", edit)]
    if task in ("T7", "T8"):
        file = world.broken if task == "T7" else world.file
        plan = asyncio.run(read_plan(world.folder_settings, Source(file), {}))
        return [_prompt("reviewer" if task == "T7" else "planner", plan)]
    wanted = {
        "T1": ["diagnoser", "recovery"],
        "T2": ["monitor"],
        "T4": ["recovery"],
        "T5": [f"provider {name}" for name in ("aws", "upcloud")],
        "T6": ["reporter"],
    }[task]
    return [_prompt(name, about) for name in wanted]


def _prompt(word: str, source: object) -> RoleText:
    role, _, query = word.partition(" ")
    [report] = answered(role, source, query).reports
    return RoleText(word, prompt_of(ROLES[role], report).text, report.text)


# -- MCP ------------------------------------------------------------------------------------------------------------

MCP_CALLS: dict[str, list[Call]] = {
    "T1": [("diagnose", {})],
    "T2": [("status", {})],
    "T3": [("plan_change", {"action": "run", "file": "shop.ncl", "like": "LIKE", "count": 2})],
    "T4": [("show", {"what": "recovery"})],
    "T5": [("show", {"what": "provider aws"}), ("show", {"what": "provider upcloud"})],
    "T6": [("show", {"what": "compare"})],
    "T7": [("plan_change", {"action": "run", "file": "broken.ncl"})],
    "T8": [("plan_change", {"action": "run", "file": "shop.ncl"})],
}


def mcp_definitions() -> str:
    """The tools as a model gets them."""
    return compact(
        [{"name": one.name, "description": one.description, "inputSchema": one.schema} for one in offered(apply=True)]
    )


class McpArm:
    """The real tools over the store of a world. Used in one thread, it asks the local client directly."""

    def __init__(self, world: AgentWorld) -> None:
        self._world = world
        self._client = LocalClient(world.settings)

    def ask(self, task: str) -> list[Asked]:
        """The calls for a task."""
        return [self.call(name, given) for name, given in MCP_CALLS[task]]

    def call(self, name: str, given: dict[str, Any]) -> Asked:
        """One call of a tool."""
        given = {key: self._world.like if value == "LIKE" else value for key, value in given.items()}
        if "run" not in given and name != "plan_change":
            given = {"run": self._world.current.id, **given}
        planner = ChangePlanner(self._world.folder, self._world.folder_settings, {})
        plans = name == "plan_change"  # for a store in which the file has not been run
        with LocalClient(self._world.folder_settings) if plans else nullcontext(self._client) as client:

            def call(work: Callable[[Any], Any]) -> Awaitable[Any]:
                return asyncio.get_running_loop().run_in_executor(None, work, client)

            calls = ToolCalls(call, planner, time.monotonic, apply=True)
            told = asyncio.run(calls.answer(name, given))
        return Asked(compact({"name": name, "arguments": given}), told.text)

    def close(self) -> None:
        """Close the store."""
        self._client.__exit__(None, None, None)
