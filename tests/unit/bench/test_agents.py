"""Tokens of answers by each way, and whether the answers are right: the gates of the bench, in small worlds."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from bench.agents import checks, live, report
from bench.agents.__main__ import checked
from bench.agents.report import CUT_MOST, FROZEN, SEEDS, Measured, broken_gates, measure, read_frozen
from bench.agents.tokens import tokens
from bench.agents.truth import EVERYTHING, facts
from bench.agents.workflow_text import Definition
from bench.agents.worlds import AgentWorld, make_stress_world, make_world


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> AgentWorld:
    return make_world(tmp_path_factory.mktemp("small"), 12, 1)


@pytest.fixture(scope="module")
def found(small: AgentWorld) -> Measured:
    return measure(small, 1)


def test_every_task_is_solved_within_its_tokens(found: Measured) -> None:
    assert broken_gates(found, read_frozen()) == []
    assert found.solved == {"MCP": len(EVERYTHING), "roles": len(EVERYTHING)}


def test_answers_follow_the_facts_and_cheats_do_not_pass(small: AgentWorld, tmp_path: Path) -> None:
    assert checked(small, make_world(tmp_path, 12, 4)) == []
    assert checks.untold_failures(small) == 0


def test_the_same_seed_gives_the_same_world(small: AgentWorld, tmp_path: Path) -> None:
    again = make_world(tmp_path, 12, 1)
    assert again.events == small.events
    assert again.current.plan.hash() == small.current.plan.hash()


def test_a_gate_does_not_count_a_fatter_baseline(found: Measured) -> None:
    lean = {way: cost.tokens for way, cost in found.costs.items()} | {"REST": found.costs["MCP"].tokens * 2}
    [problem] = broken_gates(found, {"12/1": lean})
    assert problem.startswith("MCP: 50.0 per cent below REST, at least 65.0")
    grown = {"12/1": {way: cost.tokens // 2 for way, cost in found.costs.items()}}
    assert any("frozen are" in one for one in broken_gates(found, grown))


def test_what_is_frozen_is_there_for_every_world() -> None:
    assert set(read_frozen()) == {f"{size}/{seed}" for size, seeds in SEEDS.items() for seed in seeds}
    assert all(len(one["digest of the one prompt"]) == 16 for one in read_frozen().values())
    assert FROZEN.read_text().endswith("\n")


def test_a_wrong_answer_is_not_solved(small: AgentWorld) -> None:
    texts = {task: checks.role_text(small, task) for task in EVERYTHING}
    assert checks.unsolved(small, texts) == {}
    wrong = {**texts, "T2": texts["T2"].replace("succeeded", "done"), "T7": ""}
    assert set(checks.unsolved(small, wrong)) == {"T2", "T7"}
    assert CUT_MOST < 1


def test_tokens_are_counted_in_pieces_as_in_one() -> None:
    line = "step web/web-1 succeeded <|endoftext|> at 198.18.0.1\n"
    assert tokens(line * 5_000) == pytest.approx(tokens(line) * 5_000, rel=0.01)
    assert Definition(12, "1", "here", 3).text.count("server_batch") == 3


def test_the_same_questions_are_put_to_a_model(small: AgentWorld) -> None:
    """A scripted model that says back what it was sent: all facts are in its words, and its usage is added up."""
    seen: list[dict[str, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        seen.append(body)
        content = body["messages"][1]["content"]
        usage = {"prompt_tokens": 10, "completion_tokens": 2}
        return web.json_response({"choices": [{"message": {"content": content}}], "usage": usage})

    async def main() -> list[str]:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        try:
            return await live.measured(small, f"http://127.0.0.1:{port}/v1", "scripted")
        finally:
            await runner.cleanup()

    rows = asyncio.run(main())
    wanted = sum(len(facts(small, small.current, task)) for task in EVERYTHING)
    assert rows[2] == f"| roles | {wanted} of {wanted} | 8 of 8 | 80 | 16 |"
    assert rows[3].startswith("| MCP | ")
    assert {one["model"] for one in seen} == {"scripted"}
    assert all("tools" not in json.dumps(list(one)) for one in seen)


@pytest.mark.long
@pytest.mark.parametrize("size", [100, 1_000])
def test_gates_of_larger_worlds(size: int, tmp_path: Path) -> None:
    other = make_world(tmp_path / "other", 12, 4)
    for seed, world in report.worlds(tmp_path, size):
        assert broken_gates(measure(world, seed), read_frozen()) == []
        assert checked(world, other) == []


@pytest.mark.long
def test_hundreds_of_causes_stay_within_the_budget(tmp_path: Path) -> None:
    stress = make_stress_world(tmp_path)
    assert checks.over_budget(stress) == []
    assert checks.untold_failures(stress) == 0
