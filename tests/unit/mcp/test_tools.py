"""The definitions of the tools: few tokens, the same for every client, and every call checked against them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from bench.agents.tokens import encoding

from batchwright.agents.slices.token_estimate import estimated_tokens
from batchwright.errors import UsageError
from batchwright.mcp.plan_change import within
from batchwright.mcp.tools import APPLY, FIND, PLAN_CHANGE, READING, STATUS, Tool, invalid_argument, offered

DEFINITIONS_MOST = 700  # tokens


def wire(tools: list[Tool]) -> list[dict[str, Any]]:
    """As a model's client hands them on."""
    return [{"name": one.name, "description": one.description, "inputSchema": one.schema} for one in tools]


def test_the_definitions_have_few_tokens() -> None:
    vocabulary = encoding()
    text = json.dumps(wire(list(offered(apply=True))), separators=(",", ":"))
    assert len(vocabulary.encode(text)) <= DEFINITIONS_MOST
    assert '"title"' not in text


def test_a_server_that_reads_does_not_offer_to_apply() -> None:
    assert [tool.name for tool in offered(apply=False)] == ["status", "diagnose", "show", "find", "plan_change"]
    assert [tool.name for tool in offered(apply=True)][-1] == "apply"
    assert [tool.reads for tool in (*READING, APPLY)] == [True] * 5 + [False]


@pytest.mark.parametrize(
    ("tool", "given", "words"),
    [
        (STATUS, {"run": 7}, "run must be a text of at most 220 characters"),
        (STATUS, {"run": "x" * 221}, "run must be a text"),
        (STATUS, {"wait": True}, "wait must be a whole number"),
        (STATUS, {"wait": 1.5}, "wait must be a whole number"),
        (STATUS, {"after": -1}, "after must be a whole number"),
        (STATUS, {"budget": 2**70}, "budget must be a whole number"),
        (STATUS, {"shell": "ls"}, "status has no argument 'shell'"),
        (FIND, {}, "find needs query"),
        (FIND, {"query": ["steps"]}, "query must be a text"),
        (PLAN_CHANGE, {"action": "destroy"}, "action must be one of run, resume, cancel, rollback"),
        (PLAN_CHANGE, {"action": {"run": 1}}, "action must be one of"),
        (PLAN_CHANGE, {"action": "run", "file": "a\0.ncl"}, "file has a character that no text has"),
        (STATUS, {"run": "\ud800"}, "run has a character that no text has"),
        (APPLY, {"hash": None}, "hash must be a text"),
        (APPLY, {"hash": "0" * 501}, "hash must be a text of at most 500 characters"),
        (
            PLAN_CHANGE,
            {"action": "run", "text": "x" * 1_000_001},
            "text must be a text of at most 1,000,000 characters",
        ),
        (PLAN_CHANGE, {"action": "run", "text": "x" * 1_000_000}, ""),
        (STATUS, {"run": "latest", "after": 3, "wait": 0}, ""),
    ],
)
def test_wrong_arguments_are_named(tool: Tool, given: dict[str, Any], words: str) -> None:
    assert invalid_argument(tool, given).startswith(words)
    assert bool(invalid_argument(tool, given)) is bool(words)


def test_a_planned_change_keeps_its_budget_and_counts_what_it_leaves_out() -> None:
    lines = [f"+ web-{number:03} (upcloud): 1xCPU-2GB, de-fra1" for number in range(100)]
    text = (
        "\n".join(["plan 0123: nothing was changed; it would", "<data>", *lines, "</data>", "next: batchwright run"])
        + "\n"
    )
    assert within(text, 10_000) == text
    short = within(text, 200)
    assert estimated_tokens(short) <= 200
    kept = [line for line in short.splitlines() if line.startswith("+")]
    assert short.splitlines()[:2] == ["plan 0123: nothing was changed; it would", "<data>"]
    assert short.splitlines()[len(kept) + 2 :] == [
        "</data>",
        f"omitted {100 - len(kept)} lines: ask with a larger budget",
        "next: batchwright run",
    ]
    with pytest.raises(UsageError):
        within(text, 99)
