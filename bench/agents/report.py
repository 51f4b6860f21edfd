"""Measures every way of answering in several worlds, holds the gates, and prints the table of the README."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import msgspec
from msgspec import Struct

from bench.agents import arms, rest, sessions
from bench.agents.answers import Answers
from bench.agents.sessions import WINDOW, Cost, less
from bench.agents.tokens import tokens
from bench.agents.truth import EVERYTHING

FROZEN = Path(__file__).with_name("frozen.json")
SEEDS = {12: (1, 2, 3, 5), 100: (1, 2), 1_000: (1,)}
GATES = {12: (90.0, 65.0), 100: (98.0, 90.0), 1_000: (98.0, 90.0)}  # per cent: roles and one prompt, MCP and REST
MORE = 1.03  # times the frozen tokens that an answer may take
CUT_MOST = 0.25  # of the texts that were cut short may still do
WAYS = ("one prompt", "REST", "MCP", "roles")


class Measured(Struct, frozen=True):
    """One world. `costs` are of a session by way, `questions` of each alone: roles, a picked prompt, MCP, REST."""

    operations: int
    seed: int
    solved: dict[str, int]
    costs: dict[str, Cost]
    questions: dict[str, tuple[int, int, int, int]]
    digest: str


def measure(found: Answers, seed: int) -> Measured:
    """What each way takes in a world, and how many tasks it solves."""
    world, prompt = found.world, arms.lean_prompt(found.sections)
    texts = {"MCP": found.mcp_text, "roles": found.role_text}
    solved = {
        way: len(EVERYTHING) - len(found.unsolved({task: text(task) for task in EVERYTHING}))
        for way, text in texts.items()
    }
    definitions = rest.definitions(), arms.mcp_definitions()
    costs = {
        "one prompt": sessions.one_prompt(prompt, world),
        "REST": sessions.with_tools(definitions[0], world, found.rest),
        "MCP": sessions.with_tools(definitions[1], world, found.mcp),
        "roles": sessions.roles(world, found.roles),
    }
    questions = {
        task: (
            sessions.roles(world, found.roles, [task]).tokens,
            tokens(arms.lean_prompt(found.sections, arms.NEEDED[task])) + sessions.ANSWER,
            sessions.with_tools(definitions[1], world, found.mcp, [task]).tokens,
            sessions.with_tools(definitions[0], world, found.rest, [task]).tokens,
        )
        for task in EVERYTHING
    }
    digest = hashlib.sha256(prompt.encode()).hexdigest()[:16]
    return Measured(world.definition.operations, seed, solved, costs, questions, digest)


def broken_gates(found: Measured, frozen: dict[str, Any]) -> list[str]:
    """Which gates a world does not keep. A baseline counts as no more than it was when it was frozen."""
    old = frozen.get(f"{found.operations}/{found.seed}", {})
    base = {way: min(found.costs[way].tokens, old.get(way, found.costs[way].tokens)) for way in WAYS}
    roles, tools = GATES[found.operations]
    problems = [f"{way}: {number} of {len(EVERYTHING)} solved" for way, number in found.solved.items() if number < 8]
    for way, than, least in (("roles", "one prompt", roles), ("MCP", "REST", tools)):
        saved = less(found.costs[way].tokens, base[than])
        if saved < least:
            problems.append(f"{way}: {saved:.1f} per cent below {than}, at least {least} are wanted")
        if found.costs[way].tokens > MORE * old.get(way, found.costs[way].tokens):
            problems.append(f"{way}: {found.costs[way].tokens} tokens, frozen are {old[way]}")
    return problems


def frozen_of(found: Sequence[Measured]) -> dict[str, Any]:
    """The absolute figures to be kept."""
    return {
        f"{one.operations}/{one.seed}": {
            **{way: one.costs[way].tokens for way in WAYS},
            "digest of the one prompt": one.digest,
        }
        for one in found
    }


def read_frozen() -> dict[str, Any]:
    """The figures that were kept."""
    return dict(msgspec.json.decode(FROZEN.read_bytes())) if FROZEN.exists() else {}


def write_frozen(found: Sequence[Measured]) -> None:
    """Keep these figures, beside those of other worlds."""
    kept = {**read_frozen(), **frozen_of(found)}
    FROZEN.write_bytes(msgspec.json.format(msgspec.json.encode(dict(sorted(kept.items()))), indent=1) + b"\n")


def _number(cost: float, largest: int) -> str:
    return f"{cost:,.0f}" + (" (does not fit)" if largest > WINDOW else "")


def session_rows(found: Sequence[Measured]) -> list[str]:
    """The table of sessions. A picked prompt has for each question only the sections that it needs."""
    rows = [
        "| operations | solved | one prompt | picked prompts | REST assistant | MCP | roles | roles, of one prompt "
        "| roles, of picked ones | MCP, of REST | in money: roles, MCP |",
        "|--" * 11 + "|",
    ]
    for size in sorted({one.operations for one in found}):
        own = [one for one in found if one.operations == size]
        mid = {way: mean(one.costs[way].tokens for one in own) for way in WAYS}
        money = {way: mean(one.costs[way].money for one in own) for way in WAYS}
        largest = {way: max(one.costs[way].largest for one in own) for way in WAYS}
        picked = mean(sum(one.questions[task][1] for task in sessions.SESSION) for one in own)
        solved = f"{sum(min(one.solved.values()) for one in own)} of {len(own) * len(EVERYTHING)}"
        cells = [_number(mid[way], largest[way]) for way in WAYS]
        cells.insert(1, f"{picked:,.0f}")
        saved = [f"-{less(mid['roles'], than):.1f} %" for than in (mid["one prompt"], picked)] + [
            f"-{less(mid['MCP'], mid['REST']):.1f} %"
        ]
        cheap = f"-{less(money['roles'], money['one prompt']):.0f} %, -{less(money['MCP'], money['REST']):.0f} %"
        rows.append(f"| {size:,} | {solved} | {' | '.join([*cells, *saved])} | {cheap} |")
    return rows


def question_rows(found: Sequence[Measured]) -> list[str]:
    """The table of single questions: roles beside a perfect hand-picked prompt, MCP beside REST."""
    sizes = sorted({one.operations for one in found})
    head = " | ".join(f"{size:,}: roles, picked prompt, MCP, REST" for size in sizes)
    rows = [f"| question | {head} |", "|--" * (len(sizes) + 1) + "|"]
    for task in EVERYTHING:
        cells = []
        for size in sizes:
            own = [one.questions[task] for one in found if one.operations == size]
            cells.append(", ".join(f"{mean(row[i] for row in own):,.0f}" for i in range(4)))
        rows.append(f"| {sessions.QUESTIONS[task].replace(' {like}', ' one there')} | {' | '.join(cells)} |")
    return rows
