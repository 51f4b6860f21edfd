"""What each way answers in a world. Each question is put once; costs, facts and cheats are read from these answers."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from bench.agents import arms, rest
from bench.agents.arms import Asked, RoleText
from bench.agents.truth import EVERYTHING, facts, missing
from bench.agents.worlds import AgentWorld


class Answers(Struct, frozen=True):
    """By task: what each role gets, and the calls of MCP and REST in rounds. `sections` are those of one prompt."""

    world: AgentWorld
    roles: dict[str, list[RoleText]]
    mcp: dict[str, list[list[Asked]]]
    rest: dict[str, list[list[Asked]]]
    sections: dict[str, str]

    def role_text(self, task: str) -> str:
        """All that the roles of a task are given."""
        return "".join(one.text for one in self.roles[task])

    def mcp_text(self, task: str) -> str:
        """All that the tools answer."""
        return "".join(one.answer for calls in self.mcp[task] for one in calls)

    def unsolved(self, texts: dict[str, str]) -> dict[str, list[str]]:
        """The tasks whose texts lack something, and what."""
        found = {task: missing(facts(self.world, self.world.current, task), text) for task, text in texts.items()}
        return {task: lacks for task, lacks in found.items() if lacks}


def answers(world: AgentWorld) -> Answers:
    """Ask everything in every way."""
    tools = arms.McpArm(world)
    try:
        asked = {task: [tools.ask(task)] for task in EVERYTHING}
    finally:
        tools.close()
    served = asyncio.run(rest.answers(world, EVERYTHING))
    told = {task: arms.role_texts(world, task) for task in EVERYTHING}
    return Answers(world, told, asked, served, arms.sections(world))
