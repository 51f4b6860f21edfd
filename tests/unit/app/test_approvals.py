"""Who may answer, whether an answer counts, and what is refused before a run begins."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from batchwright.app.access_tokens import AccessToken, Tokens
from batchwright.app.approvals import AnswerRequest, answer, refuse_unreachable
from batchwright.app.settings import Settings
from batchwright.errors import (
    ApprovalLate,
    ApprovalOutdated,
    ApproverRefused,
    BatchwrightError,
    NotAllowed,
    QuorumUnreachable,
    UsageError,
)
from batchwright.journal.memory import MemoryJournal
from batchwright.model import events as ev
from batchwright.model.approver import Principal, unfit
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import Hold
from batchwright.model.role import Role
from batchwright.model.run import Run
from batchwright.model.run_signal import SignalKind
from tests.unit.engine.stage import QUICK, plan_of, servers
from tests.unit.engine.test_approval_gates import approval

NOW = 1_700_000_000.0
HASH = "0123456789abcdef"
HERE = Principal("1000@here", "ada")
YES, NO = AnswerRequest(True), AnswerRequest(False)


class Desk:
    """A run that asks, its journal, and the tokens beside it."""

    def __init__(self, folder: Path, hold: Hold = Hold(), submitter: str = "1000@here") -> None:  # noqa: B008 - frozen
        self.settings, self.journal = Settings(folder), MemoryJournal()
        plan = plan_of(QUICK, approval("ok", hold), servers("up", "a", after=["ok"]))
        self.run = Run(ev.RunCreated(NOW, "run", plan, "ada", principal=submitter))
        until = NOW + hold.expires if hold.expires else 0.0
        for event in (ev.RunStarted(NOW), ev.HoldAsked(NOW, "ok/ask", 1, HASH, until)):
            self.run.apply(event)

    def token(self, name: str, role: Role = Role.OPERATOR) -> Principal:
        made, _ = Tokens(self.settings).create(name, role, NOW, None)
        return _principal(made)

    def says(self, who: Principal, given: AnswerRequest = YES, at: float = NOW + 1.0) -> tuple[str, bool]:
        async def main() -> tuple[str, bool]:
            if not await self.journal.runs():
                await self.journal.create(self.run.created, self.run.summary("memory"))
            return await answer(self.journal, self.run, given, who, self.settings, at)

        return asyncio.run(main())

    def left(self) -> list[tuple[str, bool, float]]:
        signals = asyncio.run(_read(lambda: self.journal.signals("run")))
        assert all(one.kind is SignalKind.ANSWER for _, one in signals)
        return [(one.answer.who.id, one.answer.yes, one.at) for _, one in signals if one.answer is not None]


async def _read(work: Callable[[], Awaitable[list[tuple[int, object]]]]) -> list[tuple[int, object]]:
    return await work()


def _principal(token: AccessToken) -> Principal:
    return Principal(token.id, token.name, token.role)


def refused(kind: type[BatchwrightError], desk: Desk, who: Principal, given: AnswerRequest = YES, **how: float) -> str:
    with pytest.raises(kind) as error:
        desk.says(who, given, **how)
    assert type(error.value) is kind
    return error.value.message


def test_an_answer_is_left_for_the_driver_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert desk.says(HERE) == ("ok/ask", True)
    assert desk.says(HERE, at=NOW + 2.0) == ("ok/ask", False)
    assert desk.left() == [("1000@here", True, NOW + 1.0)]
    assert "has approved ok/ask already" in refused(NotAllowed, desk, HERE, NO)


def test_what_the_journal_has_heard_is_not_said_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.run.apply(ev.HoldAnswered(NOW, "ok/ask", 1, True, HERE.id, signal=7))
    desk.run.apply(ev.HoldGranted(NOW, "ok/ask", 1))
    assert desk.says(HERE) == ("ok/ask", False)
    assert desk.left() == []
    assert "was decided" in refused(ApprovalLate, desk, Principal("0@here", "root"))


def test_with_tokens_neither_who_submitted_nor_who_continued_it_answers(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    ada, grace, edsger = (desk.token(name) for name in ("ada", "grace", "edsger"))
    desk.run.created = replace(desk.run.created, principal=ada.id)
    desk.run.continued_by = grace.id
    for who in (ada, grace):
        assert "submitted or last continued" in refused(ApproverRefused, desk, who)
    assert desk.says(edsger)[1]


@pytest.mark.parametrize(
    ("of", "fit"),
    [
        ((), {"op", "boss", "local"}),
        (("ops",), {"op"}),
        (("operator",), {"op", "boss", "local"}),
        (("admin",), {"boss", "local"}),
        (("ops", "admin"), {"op", "boss", "local"}),
        (("nobody-has-this",), set()),
    ],
)
def test_a_question_is_for_names_and_roles(of: tuple[str, ...], fit: set[str]) -> None:
    people = {
        "op": Principal("aa", "ops", Role.OPERATOR),
        "boss": Principal("bb", "boss", Role.ADMIN),
        "look": Principal("cc", "look", Role.VIEWER),
        "local": Principal("0@here", "root", Role.ADMIN),
    }
    assert {name for name, who in people.items() if not unfit(Hold(of), who, (), tokens=True)} == fit
    assert not unfit(Hold(of), people["local"], (people["local"].id,), tokens=False)


def test_a_users_name_is_no_name_of_a_token() -> None:
    assert unfit(Hold(("ops",)), Principal("0@here", "ops", Role.ADMIN), (), tokens=True)


def test_an_answer_is_bound_to_what_was_shown(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    refused(ApprovalOutdated, desk, HERE, replace(YES, hash="0" * 16, ask=1))
    refused(ApprovalOutdated, desk, HERE, replace(YES, hash=HASH, ask=2))
    assert desk.says(HERE, replace(YES, hash=HASH, ask=1))[1]
    with pytest.raises(UsageError, match="the comment has 501 characters; at most 500"):
        AnswerRequest(True, comment="x" * 501)


def test_late_is_late(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Hold(expires=60.0))
    assert "has expired" in refused(ApprovalLate, desk, HERE, at=NOW + 60.0)
    assert desk.says(HERE, at=NOW + 59.9)[1]
    other = Desk(tmp_path)
    other.run.apply(ev.CancelRequested(NOW))
    assert "is Cancelling" in refused(ApprovalLate, other, HERE)
    other.run.apply(ev.RunEnded(NOW, RunState.CANCELLED))
    assert "is Cancelled" in refused(ApprovalLate, other, HERE)


def test_a_run_that_asks_nothing_and_one_that_asks_twice(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert "asks nothing" in refused(NotAllowed, desk, HERE, replace(YES, step="up/a"))
    plan = plan_of(QUICK, approval("one", Hold()), approval("two", Hold()))
    desk.run = Run(ev.RunCreated(NOW, "run", plan))
    assert "asks nothing" in refused(NotAllowed, desk, HERE)
    desk.run.apply(ev.RunStarted(NOW))
    for op in ("one", "two"):
        desk.run.apply(ev.HoldAsked(NOW, f"{op}/ask", 1, HASH))
    assert "asks 2 questions" in refused(UsageError, desk, HERE)
    assert desk.says(HERE, replace(YES, step="two")) == ("two/ask", True)


def test_a_quorum_that_nobody_could_reach_is_refused_at_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    plan = plan_of(QUICK, approval("ok", Hold(("operator",), quorum=2)))

    def attempt(submitter: str) -> str:
        try:
            asyncio.run(refuse_unreachable(desk.settings, desk.journal, plan, submitter, NOW))
        except QuorumUnreachable as error:
            return error.message
        return ""

    assert "without access tokens" in attempt(HERE.id)
    one = plan_of(QUICK, approval("ok", Hold()))
    asyncio.run(refuse_unreachable(desk.settings, desk.journal, one, HERE.id, NOW))
    ada, _, look = desk.token("ada"), desk.token("grace"), desk.token("look", Role.VIEWER)
    assert attempt(look.id) == ""
    assert "there are 1" in attempt(ada.id)
    desk.token("edsger")
    assert attempt(ada.id) == ""
    Tokens(desk.settings).revoke("edsger", NOW)
    assert "there are 1" in attempt(ada.id)


class SharedJournal(MemoryJournal):
    """Of a store whose services have a token, which this machine has never seen."""

    async def tokens(self) -> list[bytes]:
        return [msgspec.json.encode(AccessToken("1", "grace", Role.OPERATOR, "", NOW))]

    async def change_tokens(self, change: object) -> None: ...
    async def append_audit(self, *_: object) -> None: ...
    async def audit_page(self, *_: object) -> list[object]:
        return []

    async def audit_problems(self) -> list[str]:
        return []


def test_tokens_of_other_machines_count_where_none_was_made_here(tmp_path: Path) -> None:
    """Without tokens the user who submitted a run may answer it; with tokens nobody may who submitted it."""
    assert Desk(tmp_path / "alone").says(HERE) == ("ok/ask", True)
    desk = Desk(tmp_path / "shared")
    desk.journal = SharedJournal()
    refused(ApproverRefused, desk, HERE)
    assert [one.name for one in Tokens(desk.settings).all()] == ["grace"]
