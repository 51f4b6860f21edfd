"""Carries out calls of tools through the one Client port, beside the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from batchwright.agents.slices.base import Slice
from batchwright.agents.slices.registry import SLICES
from batchwright.agents.slices.untrusted_text import cleaned
from batchwright.client.agent_queries import read_slice
from batchwright.client.base import Client
from batchwright.errors import BatchwrightError, NotAllowed
from batchwright.mcp.plan_change import ChangePlanner
from batchwright.mcp.tools import WAIT_MOST, invalid_argument, offered
from batchwright.model.diagnostic import Diagnostic
from batchwright.views.text_format import counted

POLL_SECONDS = 1.0  # between two looks at a run that somebody waits for
LATEST = "latest"
DIAGNOSTICS_MOST = 20

T = TypeVar("T")
log = logging.getLogger("batchwright.mcp")


class ToolAnswer(Struct, frozen=True):
    """What a tool says. `failed`: it could not do what was asked."""

    text: str
    failed: bool = False


class ClientCaller(Protocol):
    """Runs something with a client, away from the event loop."""

    def __call__(self, work: Callable[[Client], T], /) -> Awaitable[T]:
        """The result of the work; raises what it raises."""


class ToolCalls:
    """The tools of one server. `now` is a monotonic time in seconds."""

    def __init__(self, call: ClientCaller, planner: ChangePlanner, now: Callable[[], float], *, apply: bool) -> None:
        self._call = call
        self._planner = planner
        self._now = now
        self.tools = {tool.name: tool for tool in offered(apply=apply)}

    async def answer(self, name: str, given: Mapping[str, Any]) -> ToolAnswer:
        """The answer of a tool. Whatever the arguments are, it raises nothing that is not a bug."""
        tool = self.tools.get(name)
        if tool is None:
            return ToolAnswer(f"there is no tool {cleaned(name, 60)!r}; there are {', '.join(self.tools)}", failed=True)
        if wrong := invalid_argument(tool, given):
            return ToolAnswer(cleaned(wrong), failed=True)
        try:
            if name == "status":
                return ToolAnswer(await self._status(given))
            if name == "plan_change":
                return ToolAnswer(await self._call(lambda client: self._planner.plan(client, given)))
            if name == "apply":
                return ToolAnswer(await self._call(lambda client: self._planner.apply(client, given["hash"])))
            kind, query = _asked(name, given)
            return ToolAnswer((await self._slice(kind, query, given)).text)
        except BatchwrightError as error:
            return ToolAnswer(refusal_text(error), failed=True)

    async def _slice(self, kind: str, query: str, given: Mapping[str, Any]) -> Slice:
        word, budget = given.get("run") or LATEST, given.get("budget", 0)
        return await self._call(lambda client: read_slice(client, kind, word, query, budget))

    async def _status(self, given: Mapping[str, Any]) -> str:
        """The status, once the run has gone beyond `after` or `wait` seconds have passed."""
        after, wait = given.get("after", 0), min(given.get("wait", 0), WAIT_MOST)
        query = f"after={after}" if after else ""
        until = self._now() + wait
        while True:
            told = await self._slice("status", query, given)
            if told.as_of_seq > after or self._now() >= until:
                return told.text
            await asyncio.sleep(min(POLL_SECONDS, max(0.0, until - self._now())))


def _asked(name: str, given: Mapping[str, Any]) -> tuple[str, str]:
    """The kind of slice and its query: `show` gives reports too, by their name."""
    if name != "show":
        return name, given.get("query", "")
    what = str(given["what"]).strip()
    kind, _, rest = what.partition(" ")
    return (kind, rest.strip()) if kind in SLICES and kind not in ("show", "find") else ("show", what)


def refusal_text(error: BatchwrightError) -> str:
    """An error in lines: its code, what is wrong, what to do, and the diagnostics behind it."""
    lines = [f"error {error.code}: {cleaned(error.message, 500)}"]
    if error.hint:
        lines.append(f"hint: {cleaned(error.hint, 500)}")
    found = [one for one in error.diagnostics if isinstance(one, Diagnostic)]
    lines += [diagnostic_line(one) for one in found[:DIAGNOSTICS_MOST]]
    if len(found) > DIAGNOSTICS_MOST:
        lines.append(f"omitted {counted(len(found) - DIAGNOSTICS_MOST, 'diagnostic')}: batchwright validate FILE")
    return "\n".join(lines) + "\n"


def diagnostic_line(one: Diagnostic) -> str:
    """One mistake in a file, with its place and what to do."""
    hint = f" ({one.hint})" if one.hint else ""
    return f"<data>{cleaned(f'{one}{hint}', 500)}</data>"


def refused_apply() -> BatchwrightError:
    """The error of a server that changes nothing."""
    return NotAllowed("this server only reads", hint="Start it with --allow-apply.")
