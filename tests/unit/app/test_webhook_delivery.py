"""What each webhook is told, and when, whatever its receiver does."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from batchwright.app import webhook_delivery
from batchwright.app.webhook_resend import deliveries, send_again
from batchwright.errors import UsageError, WebhookNotFound
from batchwright.journal import memory
from batchwright.journal.memory import MemoryJournal
from batchwright.model import events as ev
from batchwright.model.delivery import DAY, Answer
from batchwright.model.lifecycle import RunState
from batchwright.model.webhook import USUAL, WebhookEvent
from batchwright.testing.virtual_clock import EPOCH, run_virtual
from tests.unit.app.webhook_life import (
    BAD,
    CHAT,
    CI,
    ENDED,
    FAILED_STEP,
    GOOD,
    OPS,
    RUN,
    STARTED,
    Life,
    Receivers,
    history,
    in_one_life,
)


def test_each_webhook_is_told_what_it_asked_for_in_order() -> None:
    async def attempt(life: Life, receivers: Receivers) -> None:
        steps = replace(CHAT, events=(WebhookEvent.STEP_FAILED, WebhookEvent.RUN_FAILED))
        await life.drive(history(RUN, CI, steps))
        await life.clock.sleep(1)
        assert receivers.numbers("ci") == [STARTED, ENDED]
        assert receivers.numbers("chat") == [FAILED_STEP, ENDED]
        assert receivers.numbers("ops") == [STARTED, ENDED]
        rows = await life.rows()
        seen = {name: (row.open, row.cursor, row.delivered) for name, row in rows.items()}
        assert seen == dict.fromkeys(("workflow/ci", "workflow/chat", "config/ops"), (False, ENDED, 2))
        assert rows["workflow/chat"].receiver == "https://chat.example/..."  # a path or query may hold a token

    in_one_life(attempt, OPS)


def test_a_message_says_what_happened_and_no_more() -> None:
    async def attempt(life: Life, receivers: Receivers) -> None:
        await life.drive(history(RUN, CI, replace(CHAT, events=tuple(WebhookEvent))))
        await life.clock.sleep(1)
        ended = msgspec.json.decode(receivers.bodies[f"{RUN}:{ENDED}"])
        assert ended == {
            "type": "run.failed",
            "timestamp": "2023-11-14T22:13:22.000Z",
            "data": {
                "environment": "w",
                "simulated": True,
                "run": RUN,
                "event": ENDED,
                "workflow": "w",
                "version": "1",
                "state": "Failed",
                "by": "ada",
                "reason": "a step failed",
                "steps": {"total": 1, "succeeded": 0, "failed": 1, "skipped": 0, "undone": 0},
                "faults": [{"step": "up/a", "kind": "capacity", "message": "zone de is full"}],
                "residue": [],
                "degraded": [],
            },
        }
        step = msgspec.json.decode(receivers.bodies[f"{RUN}:{FAILED_STEP}"])
        assert (step["type"], step["data"]["state"]) == ("step.failed", "Running")
        assert [one["step"] for one in step["data"]["faults"]] == ["up/a"]

    in_one_life(attempt)


def test_a_simulated_run_is_told_only_to_those_that_want_it() -> None:
    async def attempt(life: Life, receivers: Receivers) -> None:
        await life.drive(history(RUN, replace(CI, simulated=False), CHAT))
        await life.clock.sleep(1)
        assert {who for who, _ in receivers.got} == {"chat"}

    in_one_life(attempt, replace(OPS, simulated=False))


def test_a_failure_is_tried_again_with_growing_pauses_and_what_follows_waits() -> None:
    async def attempt(life: Life, receivers: Receivers) -> None:
        receivers.answer("ci", BAD, BAD, BAD, GOOD)
        await life.drive(history(RUN, CI))
        await life.clock.sleep(60)
        assert receivers.numbers("ci") == [STARTED, STARTED, STARTED, STARTED, ENDED]
        pauses = [later - earlier for earlier, later in zip(receivers.at, receivers.at[1:4], strict=False)]
        assert [low <= pause <= 2 * low + 1 for low, pause in zip((2.5, 5, 10), pauses, strict=True)] == [True] * 3

    in_one_life(attempt)


def test_it_is_given_up_after_a_day_and_the_next_message_has_its_own_attempt() -> None:
    async def attempt(life: Life, receivers: Receivers) -> None:
        receivers.answer("ci", BAD)
        await life.drive(history(RUN, CI))
        await life.clock.sleep(DAY / 2)
        before = (await life.rows())["workflow/ci"]
        assert (before.cursor, before.failed, before.answer, before.open) == (0, (), "500", True)
        assert 12 < before.attempts < 40  # an hour apart at most, and never in a hurry
        await life.clock.sleep(DAY / 2 + 2 * 3600)
        row = (await life.rows())["workflow/ci"]
        assert (row.failed, row.cursor, row.delivered, row.open) == ((STARTED, ENDED), ENDED, 0, False)
        assert receivers.numbers("ci")[-1] == ENDED

    in_one_life(attempt)


def test_a_pause_that_the_receiver_asks_for_is_kept_within_an_hour() -> None:
    async def attempt(life: Life, receivers: Receivers) -> None:
        receivers.answer("ci", Answer(False, "429", retry_after=600), Answer(False, "503", retry_after=1e9), GOOD)
        await life.drive(history(RUN, CI), upto=STARTED)
        await life.clock.sleep(5000)
        first, second, third = receivers.at
        assert 600 <= second - first < 610
        assert 3600 <= third - second < 3610

    in_one_life(attempt)


def test_a_receiver_that_wants_no_more_is_told_no_more_of_this_run() -> None:
    async def attempt(life: Life, receivers: Receivers) -> None:
        receivers.answer("ci", Answer(False, "410: the receiver wants no more", gone=True))
        await life.drive(history(RUN, CI, CHAT))
        await life.clock.sleep(60)
        assert receivers.numbers("ci") == [STARTED]
        assert receivers.numbers("chat") == [STARTED, ENDED]
        row = (await life.rows())["workflow/ci"]
        assert (row.gone, row.failed, row.open) == (True, (STARTED, ENDED), False)

    in_one_life(attempt)


def test_a_receiver_that_hangs_delays_only_its_own_messages() -> None:
    async def attempt(life: Life, receivers: Receivers) -> None:
        receivers.hang("ci")
        for number in range(20):
            await life.drive(history(f"run{number:09}", CI, CHAT))
        await life.clock.sleep(60)
        assert len(receivers.numbers("ci")) == webhook_delivery.MOST_PER_RECEIVER
        assert len(receivers.numbers("chat")) == 2 * 20
        assert len(life.deliverer._busy) == webhook_delivery.MOST_PER_RECEIVER

    in_one_life(attempt)


def test_many_runs_of_a_receiver_that_hangs_hide_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (memory, webhook_delivery):
        monkeypatch.setattr(module, "PENDING_MOST", 5)

    async def attempt(life: Life, receivers: Receivers) -> None:
        receivers.hang("ci")
        for number in range(10):
            await life.drive(history(f"run{number:09}", CI))
        await life.drive(history("zzzz", CHAT))
        await life.clock.sleep(60)
        assert receivers.numbers("chat") == [STARTED, ENDED]

    in_one_life(attempt)


def test_what_failed_can_be_sent_again_under_its_id() -> None:
    async def attempt(life: Life, receivers: Receivers) -> None:
        receivers.answer("ci", Answer(False, "410: the receiver wants no more", gone=True))
        await life.drive(history(RUN, CI))
        await life.clock.sleep(1)
        receivers.answer("ci", GOOD)
        [(journal, row)] = await send_again(life.settings, life.stores, failed=True)
        life.deliverer.hint(RUN)
        assert await life.deliverer.flush(journal, RUN, 30.0) == []
        assert receivers.numbers("ci") == [STARTED, STARTED, ENDED]
        row = (await life.rows())["workflow/ci"]
        assert (row.failed, row.delivered, row.gone, row.open) == ((), 2, False, False)
        with pytest.raises(WebhookNotFound, match="nothing about any run was given up"):
            await send_again(life.settings, life.stores, failed=True)
        await send_again(life.settings, life.stores, RUN, ENDED)
        life.deliverer.hint(RUN)
        await life.clock.sleep(1)
        assert receivers.numbers("ci")[3:] == [ENDED]
        await send_again(life.settings, life.stores, RUN)
        life.deliverer.hint(RUN)
        await life.clock.sleep(1)
        assert receivers.numbers("ci")[4:] == [STARTED, ENDED]
        with pytest.raises(WebhookNotFound, match=f"nothing about event 4 of run {RUN} is told to a webhook"):
            await send_again(life.settings, life.stores, RUN, 4)
        with pytest.raises(UsageError, match="name a run"):
            await send_again(life.settings, life.stores)
        assert await deliveries(life.stores) == await deliveries(life.stores, RUN) == list((await life.rows()).values())

    in_one_life(attempt)


def test_what_is_sent_again_and_fails_is_not_tried_for_a_day() -> None:
    async def attempt(life: Life, receivers: Receivers) -> None:
        await life.drive(history(RUN, CI))
        await life.clock.sleep(1)
        receivers.answer("ci", BAD)
        await send_again(life.settings, life.stores, RUN, ENDED)
        life.deliverer.hint(RUN)
        await life.clock.sleep(DAY)
        assert receivers.numbers("ci") == [STARTED, ENDED, ENDED]
        row = (await life.rows())["workflow/ci"]
        assert (row.failed, row.again, row.open) == ((ENDED,), (), False)

    in_one_life(attempt)


def test_a_rollback_of_a_run_that_was_told_opens_its_webhooks_again() -> None:
    async def attempt(life: Life, receivers: Receivers) -> None:
        events = history(RUN, CI)
        await life.drive(events)
        await life.clock.sleep(1)
        more = [ev.RollbackStarted(EPOCH + 9, "bob"), ev.RollbackEnded(EPOCH + 10, RunState.ROLLED_BACK)]
        await life.drive([*events, *more], begin=False)
        await life.clock.sleep(1)
        assert receivers.numbers("ci") == [STARTED, ENDED, ENDED + 1, ENDED + 2]
        assert msgspec.json.decode(receivers.bodies[f"{RUN}:{ENDED + 2}"])["data"]["by"] == "bob"
        assert not (await life.rows())["workflow/ci"].open

    in_one_life(attempt)


def test_a_webhook_that_config_toml_has_later_is_told_only_what_comes() -> None:
    async def attempt() -> None:
        journal, receivers, events = MemoryJournal(), Receivers(), history(RUN)
        async with Life(journal, receivers).deliverer:
            await Life(journal, receivers).drive(events, upto=STARTED)
        life = Life(journal, receivers, OPS)
        async with life.deliverer:
            await life.drive(events, begin=False)
            await life.clock.sleep(1)
        assert receivers.numbers("ops") == [ENDED]

    run_virtual(attempt())


def test_a_webhook_of_another_machines_config_toml_is_left_to_it_for_a_day() -> None:
    async def attempt() -> None:
        journal, receivers = MemoryJournal(), Receivers()
        there = Life(journal, receivers, OPS)
        await there.drive(history(RUN))
        await there.deliverer.aclose()
        assert receivers.got == []
        here = Life(journal, receivers)
        async with here.deliverer:
            await here.clock.sleep(3600)
            assert (await here.rows())["config/ops"].open
        async with Life(journal, receivers, OPS).deliverer:
            await there.clock.sleep(60)
        assert receivers.numbers("ops") == [STARTED, ENDED]

    run_virtual(attempt())


def test_a_webhook_that_no_config_toml_has_is_given_up_after_a_day() -> None:
    async def attempt() -> None:
        journal, receivers = MemoryJournal(), Receivers()
        there = Life(journal, receivers, OPS)
        await there.drive(history(RUN))
        await there.deliverer.aclose()
        await there.clock.sleep(DAY + 60)
        here = Life(journal, receivers)
        async with here.deliverer:
            await here.clock.sleep(60)
            row = (await here.rows())["config/ops"]
        assert (row.open, row.answer) == (False, "config/ops is in no config.toml that this process knows")
        assert receivers.got == []

    run_virtual(attempt())


def test_the_usual_events_are_all_but_those_of_steps() -> None:
    assert set(WebhookEvent) - set(USUAL) == {WebhookEvent.STEP_FAILED}
