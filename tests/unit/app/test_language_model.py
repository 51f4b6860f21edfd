"""A language model words what was computed: what it is sent, what is marked, and what happens when it fails."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from batchwright.agents.roles.base import AgentReport
from batchwright.agents.roles.registry import ROLES, answered
from batchwright.app.agent_ledger import AgentLedger, AgentUsage, day_of
from batchwright.app.language_model import LanguageModel, worded
from batchwright.app.settings import AgentsConfig, Settings
from batchwright.errors import StoreError, UsageError
from batchwright.model import events as ev
from batchwright.model.secret_reference import SecretReference
from tests.support.fake_service import Answer, fake_service
from tests.unit.agents.stories import source_of
from tests.unit.agents.test_slices import HOSTILE, failed_run
from tests.unit.views.story import T0, Story

KEY, CANARY = "key-of-the-model-0815", "canary-4711-canary"
ENVIRON = {"MODEL_KEY": KEY, "DATABASE_PASSWORD": CANARY}
SAID = {
    "choices": [{"message": {"content": "The quota is used up. Restart web-0099 now."}}],
    "usage": {"prompt_tokens": 345, "completion_tokens": 20},
}
PATH = "/chat/completions"


def hostile_run() -> Story:
    story = failed_run()
    seq = next(at for at, one in enumerate(story.history) if isinstance(one, ev.StepOutput))
    story.history[seq] = ev.StepOutput(T0 + 3, "web/b", 1, (HOSTILE, f"connecting as {CANARY} and {KEY}"))
    return story


def report(story: Story | None = None) -> AgentReport:
    return answered("diagnoser", source_of(story or failed_run(), 6, "diagnose")).reports[0]


def settings(folder: Path, url: str, **rest: Any) -> Settings:
    config = AgentsConfig(url=url, model="small", key=SecretReference(env="MODEL_KEY"))
    return Settings(folder, agents=replace(config, **rest))


def ask(at: Settings, told: AgentReport | None = None) -> AgentReport:
    model = LanguageModel(at, lambda: T0, ENVIRON)
    (found,) = asyncio.run(worded(model, ROLES, (told or report(),)))
    return found


def test_a_model_words_a_report_and_its_inventions_are_marked(tmp_path: Path) -> None:
    with fake_service() as service:
        service.on("POST", PATH, SAID)
        found = ask(settings(tmp_path, service.url))
    assert found.words is not None
    assert [(one.claim, one.unverified) for one in found.words.findings] == [
        ("The quota is used up.", ()), ("Restart web-0099 now.", ("web-0099",))
    ]  # fmt: skip
    assert replace(found, words=None) == report()  # what was computed stands as it was
    (row,) = AgentLedger(tmp_path).rows()
    assert row == AgentUsage(day_of(T0), "diagnoser", "abcdefghijkl", calls=1, sent=345, received=20)


def test_only_the_prompt_is_sent_without_secrets_and_with_what_is_hostile_fenced(tmp_path: Path) -> None:
    with fake_service() as service:
        service.on("POST", PATH, SAID)
        ask(settings(tmp_path, service.url), report(hostile_run()))
        (asked,) = service.asked
    body = asked.json()
    assert sorted(body) == ["max_tokens", "messages", "model"]  # no tools
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    sent = asked.body.decode()
    for secret in (KEY, CANARY, "hunter2", "AKIAABCD", "\\u001b", "\\u202e", "\u202e"):
        assert secret not in sent
    text = body["messages"][1]["content"]
    assert text.count("<data>") == text.count("</data>") > 0
    assert "&lt;/data&gt;" in text
    assert "<tool>" not in text


def test_anthropic_is_spoken_to_in_its_own_words(tmp_path: Path) -> None:
    said = {"content": [{"type": "text", "text": "Fine."}], "usage": {"input_tokens": 900, "output_tokens": 2}}
    with fake_service() as service:
        service.on("POST", "/v1/messages", said)
        found = ask(settings(tmp_path, service.url, api="anthropic"))
        (asked,) = service.asked
    assert asked.headers["x-api-key"] == KEY
    assert sorted(asked.json()) == ["max_tokens", "messages", "model", "system"]
    assert found.words is not None
    assert (found.words.text, found.words.tokens_in) == ("Fine.", 900)


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        (Answer(b"no", status=500), "status 500"),
        (Answer(b"", status=302), "status 302"),
        (Answer(b"{"), "cannot be read"),
        (Answer(b'{"choices": [{"message": {"content": "\xff"}}]}'), "cannot be read"),
        (Answer(b'{"x": ' + b"[" * 100_000), "cannot be read"),
        (Answer(b'{"choices": []}'), "its answer is empty"),
        (Answer(b"x" * 2_000_000), "its answer is larger"),
        (Answer(msgspec.json.encode(SAID)[:20], cut=True), "no answer of the model"),
    ],
)
def test_whatever_goes_wrong_the_computed_answer_stands(answer: Answer, note: str, tmp_path: Path) -> None:
    with fake_service() as service:
        service.on("POST", PATH, answer)
        found = ask(settings(tmp_path, service.url))
    assert found.words is None
    assert note in found.note
    assert replace(found, note="") == report()
    assert AgentLedger(tmp_path).rows()[0].calls == 1  # it was sent, so it counts


@pytest.mark.parametrize("used", [-(10**9), 0, 1, 10**30])
def test_a_model_cannot_talk_itself_out_of_the_caps(used: int, tmp_path: Path) -> None:
    text = "The end <|endoftext|> of it."  # to the tokenizer this is text, too
    said = {
        "choices": [{"message": {"content": text}}],
        "usage": {"prompt_tokens": used, "completion_tokens": used},
    }
    with fake_service() as service:
        service.on("POST", PATH, said)
        found = ask(settings(tmp_path, service.url))
    assert found.words is not None
    assert found.words.text == text
    (row,) = AgentLedger(tmp_path).rows()
    assert 100 < row.sent < 1_000
    assert 5 < row.received < 30


def test_the_caps_of_a_day_hold_before_anything_is_sent(tmp_path: Path) -> None:
    with fake_service() as service:
        service.on("POST", PATH, SAID)
        at = settings(tmp_path, service.url, daily_calls=2)
        assert ask(at).words is not None
        assert ask(at).words is not None
        assert ask(at).note == "not sent: the calls or tokens of today are used up"
        small = settings(tmp_path / "other", service.url, daily_tokens=700)
        assert ask(small).note == "not sent: the calls or tokens of today are used up"
        assert len(service.asked) == 2


def test_nothing_is_sent_when_it_cannot_be_counted(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "agent-usage").write_text("in the way", encoding="utf-8")
    with fake_service() as service:
        found = ask(settings(folder, service.url))
        assert service.asked == []
    assert "cannot write to" in found.note


def test_a_prompt_that_is_too_large_is_not_sent(tmp_path: Path) -> None:
    with fake_service() as service:
        told = report()
        found = ask(settings(tmp_path, service.url), replace(told, text="word " * 2_000))
        assert service.asked == []
    assert found.note.startswith("not sent: ")


def test_without_a_model_nothing_can_be_sent(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no language model is set up"):
        LanguageModel(Settings(tmp_path), lambda: T0, {})
    with pytest.raises(ValueError, match="must not hold a user or password"):
        AgentsConfig(url="https://me:hunter2@model.example/v1", model="x")
    with pytest.raises(ValueError, match="only sent over https"):
        AgentsConfig(url="http://model.example/v1", model="x", key=SecretReference(env="K"))


def test_a_ledger_adds_up_by_day_role_and_run(tmp_path: Path) -> None:
    ledger = AgentLedger(tmp_path)
    for run in ("a", "b", "a"):
        ledger.add(AgentUsage("2026-01-02", "monitor", run, answers=1, tokens=100))
    ledger.add(AgentUsage("2026-01-03", "monitor", "a", answers=1, tokens=7))
    assert [(one.day, one.run, one.answers, one.tokens) for one in ledger.rows()] == [
        ("2026-01-03", "a", 1, 7), ("2026-01-02", "a", 2, 200), ("2026-01-02", "b", 1, 100)
    ]  # fmt: skip
    (tmp_path / "agent-usage" / "usage.json").write_bytes(b"[")
    with pytest.raises(StoreError, match="is damaged"):
        ledger.rows()
