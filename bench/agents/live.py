"""The same questions put to a real model: what it answers, and the tokens that its provider counted.

Not run by us: there is no model here. The endpoint is an OpenAI-compatible address; BENCH_API_KEY is its key.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import aiohttp

from bench.agents import arms, sessions
from bench.agents.answers import answers
from bench.agents.truth import EVERYTHING, facts, missing
from bench.agents.worlds import AgentWorld

SYSTEM = "Answer from the material only. Quote ids, numbers, messages and commands exactly as they stand there."
SECONDS = 120.0


def material(world: AgentWorld) -> dict[str, dict[str, str]]:
    """What a model reads for each task, by each way."""
    found = answers(world)
    return {
        "roles": {task: "".join(one.prompt for one in found.roles[task]) for task in EVERYTHING},
        "MCP": {task: found.mcp_text(task) for task in EVERYTHING},
        "REST": {task: "".join(one.answer for calls in found.rest[task] for one in calls) for task in EVERYTHING},
        "one prompt": dict.fromkeys(EVERYTHING, arms.lean_prompt(found.sections)),
    }


async def asked(endpoint: str, model: str, system: str, user: str) -> tuple[str, int, int]:
    """The answer, and the tokens that the provider says it took and gave."""
    key = os.environ.get("BENCH_API_KEY", "")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(
            f"{endpoint.rstrip('/')}/chat/completions",
            json={"model": model, "messages": messages, "temperature": 0},
            headers=headers,
        ) as response,
    ):
        response.raise_for_status()
        got: dict[str, Any] = await response.json()
    usage = got.get("usage", {})
    return (
        got["choices"][0]["message"]["content"],
        int(usage.get("prompt_tokens", 0)),
        int(usage.get("completion_tokens", 0)),
    )


async def measured(world: AgentWorld, endpoint: str, model: str) -> list[str]:
    """A row for each way: how many of the facts that an answer has to hold are in the model's own words."""
    rows = ["| way | facts | tasks solved | tokens in | tokens out |", "|--|--|--|--|--|"]
    for way, texts in (await asyncio.to_thread(material, world)).items():
        right = every = solved = sent = got = 0
        for task, text in texts.items():
            user = f"{text}\n\n{sessions.question(world, task)}"
            answer, took, gave = await asked(endpoint, model, SYSTEM, user)
            wanted = facts(world, world.current, task)
            lacks = missing(wanted, answer)
            right, every, solved = right + len(wanted) - len(lacks), every + len(wanted), solved + (not lacks)
            sent, got = sent + took, got + gave
        rows.append(f"| {way} | {right} of {every} | {solved} of {len(texts)} | {sent:,} | {got:,} |")
    return rows


def main(world: AgentWorld, endpoint: str, model: str) -> int:
    """Ask, and print."""
    if not endpoint or not model:
        print("--live needs --endpoint URL and --model NAME")
        return 2
    print("\n".join(asyncio.run(measured(world, endpoint, model))))
    return 0
