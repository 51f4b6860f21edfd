"""A6, A9: workflows of clients are read in other processes, within bounds, and whatever they hold is answered."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.service_in_loop import workflow

from batchwright.app.program_and_secret_allowlist import NOTHING
from batchwright.errors import BodyUnreadable, EvaluatorUnavailable, ServiceBusy, TooManyRequests
from batchwright.loader import Loaded, load
from batchwright.loader.contract_report import Report
from batchwright.loader.depth import too_deep
from batchwright.loader.limits import UNTRUSTED
from batchwright.model.diagnostic import Diagnostic, Severity, bounded
from batchwright.service.evaluator_pool import EvaluatorPool
from batchwright.service.evaluator_worker import Evaluated, EvaluationJob, decode_answer, definition, encode, evaluated

EXAMPLE = Path(__file__).parents[3] / "workflows" / "example_batch.ncl"
pytestmark = pytest.mark.usefixtures("own_evaluator")

BURNING = "let rec burn = fun n => if n == 0 then 0 else burn (n - 1) in { batch_workflow = burn 1e18 }"


def job(text: str, name: str = "workflow.ncl", *, is_definition: bool = False) -> EvaluationJob:
    return EvaluationJob(text, name, is_definition, (), NOTHING)


def body(value: object) -> EvaluationJob:
    return job(json.dumps(value), "workflow.json", is_definition=True)


def play(scenario: Callable[[EvaluatorPool], Awaitable[None]], **bounds: Any) -> None:
    async def main() -> None:
        pool = EvaluatorPool(**bounds)
        try:
            await scenario(pool)
        finally:
            await pool.aclose()

    asyncio.run(main())


def codes(loaded: Loaded) -> list[str]:
    assert loaded.workflow is None
    return [one.code for one in loaded.diagnostics]


# -- the pool -------------------------------------------------------------------------------------------------------


def test_what_another_process_has_loaded_is_the_same() -> None:
    """A6."""
    loaded = load(EXAMPLE)
    assert decode_answer(encode(Evaluated(loaded))).loaded == loaded

    async def scenario(pool: EvaluatorPool) -> None:
        first = await pool.load(job(EXAMPLE.read_text()))
        assert first.workflow == loaded.workflow
        process = pool._idle[0].process
        assert (await pool.load(body(workflow()))).workflow is not None
        assert pool._idle[0].process is process  # it is kept

    play(scenario)


def test_one_that_takes_too_long_is_ended_with_all_that_it_began_and_the_next_goes_on() -> None:
    """A6: the time is up before the process can have answered."""

    async def scenario(pool: EvaluatorPool) -> None:
        pool._seconds = 0.0
        assert codes(await pool.load(job(BURNING))) == ["too-slow"]
        assert pool._idle == []
        pool._seconds = 600.0
        assert (await pool.load(body(workflow()))).workflow is not None

    play(scenario)


def test_one_that_is_killed_is_told_and_replaced() -> None:
    """A6: as the kernel does when memory is short."""

    async def scenario(pool: EvaluatorPool) -> None:
        loading = asyncio.create_task(pool.load(job(BURNING)))
        while not pool._busy:
            await asyncio.sleep(0.01)
        os.killpg(next(iter(pool._busy)).process.pid, signal.SIGKILL)
        assert codes(await loading) == ["evaluator-failed"]
        assert (await pool.load(body(workflow()))).workflow is not None

    play(scenario)


def test_those_who_wait_are_bounded_and_who_submits_does_not_wait_for_who_looks() -> None:
    """A6."""

    async def scenario(pool: EvaluatorPool) -> None:
        looking = [asyncio.create_task(pool.load(job(BURNING))) for _ in range(3)]
        while not pool._busy:
            await asyncio.sleep(0.01)
        assert (await pool.load(body(workflow()), urgent=True)).workflow is not None
        looking.append(asyncio.create_task(pool.load(body(workflow()))))
        await asyncio.sleep(0)
        with pytest.raises(TooManyRequests):
            await pool.load(body(workflow()), urgent=True)
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)
        assert pool._busy == set()  # who is gone burns no more

    play(scenario, waiting=4)


def test_one_caller_leaves_places_to_the_others() -> None:
    """A6."""

    async def scenario(pool: EvaluatorPool) -> None:
        burning = [asyncio.create_task(pool.load(job(BURNING), "busy", urgent=True)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyRequests):
            await pool.load(job("{}"), "busy", urgent=True)
        waiting = asyncio.create_task(pool.load(job("{}"), "other", urgent=True))
        await asyncio.sleep(0)
        assert not waiting.done()
        for task in burning:
            task.cancel()
        assert (await waiting).workflow is None  # read, and found to be no workflow
        await asyncio.gather(*burning, return_exceptions=True)
        assert not pool._waiting

    play(scenario, processes=2, of_one=2)


def test_without_a_process_it_says_whether_waiting_helps(monkeypatch: Any) -> None:
    """A3, A6."""
    raised: list[Exception] = [OSError(24, "Too many open files"), FileNotFoundError(2, "No such file")]

    async def refuse(*_words: str, **_how: object) -> None:
        raise raised.pop(0)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)

    async def scenario(pool: EvaluatorPool) -> None:
        with pytest.raises(ServiceBusy):
            await pool.load(job("{}"))
        with pytest.raises(EvaluatorUnavailable):
            await pool.load(job("{}"))

    play(scenario)


# -- what texts may hold --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [101, 500, 700, 900, 5_000, 100_000])
@pytest.mark.parametrize("pair", [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")], ids=["array", "object", "both"])
def test_a_nested_definition_is_a_diagnostic_with_its_place(depth: int, pair: tuple[str, str]) -> None:
    """A9."""
    begin, end = pair
    text = '{"batch_workflow":\n ' + begin * depth + "1" + end * depth + "}"
    answer = evaluated(job(text, "workflow.json", is_definition=True))
    assert answer.loaded is not None
    assert codes(answer.loaded) == ["too-deep"]
    assert answer.loaded.diagnostics[0].line == 2


TEXTS = st.none() | st.text('[]{}"\\ab', max_size=5)
SCALARS = st.none() | st.booleans() | st.floats() | st.integers() | st.text()


@given(st.recursive(TEXTS, lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_the_depth_is_that_of_the_brackets_and_texts_do_not_count(value: object) -> None:
    """A9."""

    def depth(one: object) -> int:
        if isinstance(one, dict):
            one = list(one.values())
        return 1 + max(map(depth, one), default=0) if isinstance(one, list) else 0

    text = json.dumps(value)
    assert too_deep(text, depth(value)) is None
    assert depth(value) == 0 or too_deep(text, depth(value) - 1) is not None


@pytest.mark.parametrize("depth", [90, 200, 700, 3_000])
@pytest.mark.parametrize("kind", ["ncl", "yaml"])
def test_a_nested_value_of_another_language_is_a_diagnostic_too(kind: str, depth: int) -> None:
    """A9: where a text of any depth may stand."""
    inner = ("{a=" * depth + "1" + "}" * depth) if kind == "ncl" else "[" * depth + "]" * depth
    text = f"{{batch_workflow = {{name = {inner}}}}}" if kind == "ncl" else f"batch_workflow: {{name: {inner}}}"
    answer = evaluated(job(text, f"workflow.{kind}"))
    assert answer.loaded is not None
    assert codes(answer.loaded)


def test_what_is_deeper_than_we_can_follow_is_told() -> None:
    """A9: Nickel can hold a value that Python cannot walk."""
    deep: dict[str, Any] = {"$fields": [], "x": 1}
    for _ in range(150):
        deep = {"$fields": ["a"], "a": deep}
    found = Report(json.dumps(deep).encode(), "mark").findings
    assert [one.diagnostic.code for one in found] == ["too-deep"]


@pytest.mark.parametrize("text", ['{x = import "a\\u{0}b"}', '{x = import "a\0b"}', '{x = import "./\0" as \'Text}'])
def test_a_nul_in_an_import_is_refused(text: str, tmp_path: Path) -> None:
    """A9."""
    answer = evaluated(job(text))
    assert answer.loaded is not None
    assert codes(answer.loaded) == ["import-refused"]
    (tmp_path / "w.ncl").write_text(text)
    assert set(codes(load(tmp_path / "w.ncl"))) <= {"import-refused", "syntax-error", "import-not-found"}


@pytest.mark.parametrize(
    "server",
    [{"user_data": "#!/bin/sh\n\0"}, {"labels": {"role": "a\0"}}, {"ssh_keys": ["ssh-ed25519 AAAA\0"]}],
    ids=["user_data", "label", "key"],
)
def test_a_nul_in_any_text_is_told_with_its_place(server: dict[str, Any]) -> None:
    """A9."""
    whole = workflow(count=1)
    whole["batch_workflow"]["operations"][0]["server_configs"][0].update(server)
    answer = evaluated(body(whole))
    assert answer.loaded is not None
    assert "nul-in-text" in codes(answer.loaded)
    assert all(one.line == 1 and one.column > 1 for one in answer.loaded.diagnostics if one.code == "nul-in-text")


@given(st.recursive(SCALARS, lambda x: st.lists(x), max_leaves=5))
def test_no_number_or_text_of_a_definition_is_a_bug(value: object) -> None:
    """A9: NaN, infinity, digits without end."""
    for text in (json.dumps({"name": value, "b": None}), json.dumps(value), '{"a": ' + "9" * 5_000 + "}"):
        with contextlib.suppress(BodyUnreadable):
            assert msgspec.json.decode(definition(text))


# -- how much is told -----------------------------------------------------------------------------------------------


def test_there_are_fifty_diagnostics_and_then_how_many_more() -> None:
    """A6: each import of a file that may not import."""
    answer = evaluated(job("{x = [" + 'import "a",' * 1_000 + "]}"))
    assert answer.loaded is not None
    assert codes(answer.loaded)[-2:] == ["import-refused", "more-mistakes"]
    assert len(answer.loaded.diagnostics) == UNTRUSTED.diagnostics + 1
    assert answer.loaded.diagnostics[-1].message.startswith("and 950 more")


@pytest.mark.parametrize("text", [";" * 100_000, '{"' + "k" * 100_000 + '" = 1, batch_workflow = {}}'])
def test_no_diagnostic_is_as_long_as_the_file(text: str) -> None:
    """A6."""
    answer = evaluated(job(text))
    assert answer.loaded is not None
    assert codes(answer.loaded)
    assert len(encode(answer)) < 20_000


@given(st.lists(st.sampled_from(Severity), max_size=200))
def test_of_too_many_the_errors_come_first_and_none_is_forgotten(severities: list[Severity]) -> None:
    """A6."""
    found = bounded([Diagnostic("code", str(i), severity=severity) for i, severity in enumerate(severities)])
    assert bounded(found) == found
    assert len(found) <= 51
    if len(severities) > 51:
        assert int(found[-1].message.split()[1]) == len(severities) - 50
        assert any(one.severity is Severity.ERROR for one in found) is (Severity.ERROR in severities)
