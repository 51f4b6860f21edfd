"""Tokens of answers by each way, and whether the answers are right: the gates of the bench, in small worlds."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from bench.agents import checks, live
from bench.agents.__main__ import checked
from bench.agents.answers import Answers, answers
from bench.agents.report import CUT_MOST, FROZEN, SEEDS, Measured, broken_gates, measure, read_frozen
from bench.agents.tokens import tokens
from bench.agents.truth import EVERYTHING, facts
from bench.agents.workflow_text import Definition
from bench.agents.worlds import STRESS_FAILURES, AgentWorld, make_world, stressed

from batchwright.model.lifecycle import StepState


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> AgentWorld:
    return make_world(tmp_path_factory.mktemp("small"), 12, 1)


@pytest.fixture(scope="module")
def asked(small: AgentWorld) -> Answers:
    return answers(small)


@pytest.fixture(scope="module")
def found(asked: Answers) -> Measured:
    return measure(asked, 1)


def test_every_task_is_solved_within_its_tokens(found: Measured) -> None:
    assert broken_gates(found, read_frozen()) == []
    assert found.solved == {"MCP": len(EVERYTHING), "roles": len(EVERYTHING)}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return answers(make_world(tmp_path_factory.mktemp("other"), 12, 4))


def test_answers_follow_the_facts_and_cheats_do_not_pass(asked: Answers, other: Answers) -> None:
    assert checked(asked, other) == []
    assert checks.untold_failures(asked.world) == 0


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


def test_a_wrong_answer_is_not_solved(asked: Answers) -> None:
    texts = {task: asked.role_text(task) for task in EVERYTHING}
    assert asked.unsolved(texts) == {}
    wrong = {**texts, "T2": texts["T2"].replace("succeeded", "done"), "T7": ""}
    assert set(asked.unsolved(wrong)) == {"T2", "T7"}
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


def test_gates_hold_at_100_operations(tmp_path: Path) -> None:
    assert broken_gates(measure(answers(make_world(tmp_path, 100, 1)), 1), read_frozen()) == []


def test_gates_and_budgets_hold_at_1000_operations_and_with_hundreds_of_causes(tmp_path: Path) -> None:
    world = make_world(tmp_path, 1_000, 1)
    assert broken_gates(measure(answers(world), 1), read_frozen()) == []
    stress = stressed(world)
    assert stress.current.count(StepState.FAILED) >= STRESS_FAILURES
    for one in (world, stress):
        assert checks.over_budget(one) == []
        assert checks.untold_failures(one) == 0


@pytest.mark.long
@pytest.mark.parametrize(("size", "seed"), [(size, seed) for size, seeds in SEEDS.items() for seed in seeds])
def test_every_world_keeps_its_gates_and_its_answers_follow_the_facts(
    size: int, seed: int, other: Answers, tmp_path: Path
) -> None:
    """Cheats, counterfactuals and drill-downs too, which `make test` looks at in a world of 12 operations only."""
    own = answers(make_world(tmp_path, size, seed))
    assert broken_gates(measure(own, seed), read_frozen()) == []
    assert checked(own, other) == []
