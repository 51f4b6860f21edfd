"""Messages reach each webhook at least once and in order, whichever process sends and wherever one dies."""

from __future__ import annotations

from contextlib import suppress

import pytest
from msgspec.structs import replace

from batchwright.app.allowed_settings import ServiceSecrets
from batchwright.app.lease_takeover import renewed
from batchwright.app.program_and_secret_allowlist import ProgramAndSecretAllowlist
from batchwright.app.webhook_delivery import CLAIM_SECONDS, POLL_SECONDS
from batchwright.app.webhook_request import OutgoingMessage, Receiver
from batchwright.journal.lease_holder import FOR_EVER, LEASE_SECONDS, moved_to, own_holder
from batchwright.journal.memory import MemoryJournal
from batchwright.model.delivery import Answer
from batchwright.testing.crash_points import CrashingJournal, CrashPoint, ProcessDied, When
from batchwright.testing.virtual_clock import run_virtual
from tests.unit.app.webhook_life import BAD, CHAT, CI, ENDED, GOOD, OPS, RUN, STARTED, Life, Receivers, history


def test_two_services_on_one_store_do_not_both_send() -> None:
    async def attempt() -> None:
        journal, receivers = MemoryJournal(), Receivers()
        receivers.answer("ci", BAD, BAD, GOOD)
        one, other = Life(journal, receivers), Life(journal, receivers)
        other.deliverer._own = "elsewhere:1:1@kernel.1.2"  # another process, on another machine
        async with one.deliverer, other.deliverer:
            for number in range(10):
                await (one, other)[number % 2].drive(history(f"run{number:09}", CI, CHAT))
            await one.clock.sleep(600)
        told = [one for one in receivers.got if one[0] == "chat"]
        assert sorted(told) == sorted({("chat", f"run{n:09}:{seq}") for n in range(10) for seq in (STARTED, ENDED)})
        for number in range(10):
            run = f"run{number:09}"
            seqs = [seq for name, seq in receivers.got if name == "ci" and seq.startswith(run)]
            assert list(dict.fromkeys(seqs)) == [f"{run}:{STARTED}", f"{run}:{ENDED}"]

    run_virtual(attempt())


def test_a_sender_that_cannot_be_seen_is_replaced_after_a_while() -> None:
    async def attempt() -> None:
        journal, receivers = MemoryJournal(), Receivers()
        life = Life(journal, receivers)
        await life.drive(history(RUN, CI))
        await life.deliverer.aclose()
        [row] = await journal.deliveries()
        await journal.write_delivery(row, row.changed(sender="elsewhere:1:1@kernel.1.2"))
        next_one = Life(journal, receivers)
        async with next_one.deliverer:
            await life.clock.sleep(CLAIM_SECONDS)
            assert receivers.got == []
            await life.clock.sleep(3 * POLL_SECONDS)
        assert receivers.numbers("ci") == [STARTED, ENDED]

    run_virtual(attempt())


def test_a_dead_sender_is_replaced_at_once() -> None:
    async def attempt() -> None:
        journal, receivers = MemoryJournal(), Receivers()
        life = Life(journal, receivers)
        await life.drive(history(RUN, CI))
        await life.deliverer.aclose()
        [row] = await journal.deliveries()
        dead = own_holder().replace(f":{own_holder().split(':')[1]}:", ":4194303:")
        await journal.write_delivery(row, row.changed(sender=dead))
        async with Life(journal, receivers).deliverer:
            await life.clock.sleep(1)
        assert receivers.numbers("ci") == [STARTED, ENDED]

    run_virtual(attempt())


def test_a_driver_on_a_machine_that_died_holds_the_last_message_up_only_for_a_moment() -> None:
    async def attempt() -> None:
        journal, receivers = MemoryJournal(), Receivers()
        life = Life(journal, receivers)
        await life.drive(history(RUN, CI))
        await life.deliverer.aclose()
        await journal.acquire(RUN, "elsewhere:1:1@kernel.1.2", life.clock.now())  # never renewed, never released
        async with Life(journal, receivers).deliverer:
            await life.clock.sleep(LEASE_SECONDS - 1)
            assert receivers.got == []
            await life.clock.sleep(3 * POLL_SECONDS)
        assert receivers.numbers("ci") == [STARTED, ENDED]
        assert not (await life.rows())["workflow/ci"].open

    run_virtual(attempt())


def test_a_run_that_another_process_drives_is_left_to_that_process() -> None:
    async def attempt() -> None:
        journal, receivers, events = MemoryJournal(), Receivers(), history(RUN, CI)
        life = Life(journal, receivers)
        await life.drive(events, upto=STARTED)
        await life.deliverer.aclose()
        lease = await journal.acquire(RUN, "elsewhere:1:1@kernel.1.2", life.clock.now())
        other = Life(journal, receivers)
        async with other.deliverer:
            async with renewed(journal, lease, life.clock):
                await life.clock.sleep(600)
            assert receivers.got == []
            await journal.release(lease)
            await life.clock.sleep(2 * POLL_SECONDS)
            assert receivers.numbers("ci") == [STARTED]
            assert (await other.rows())["workflow/ci"].open  # the run has not ended

    run_virtual(attempt())


def test_a_secret_that_clients_may_use_no_more_signs_nothing() -> None:
    async def attempt() -> None:
        journal, receivers, events = MemoryJournal(), Receivers(), history(RUN, CI)
        life = Life(journal, receivers, OPS, allowed=ProgramAndSecretAllowlist())
        async with life.deliverer:
            await life.drive([replace(events[0], client=True), *events[1:]])
            await life.clock.sleep(1)
            assert {who for who, _ in receivers.got} == {"ops"}  # the operator's own is told
            answer = (await life.rows())["workflow/ci"].answer
        assert answer == "not sent: this service does not allow its clients to use the variable SECRET"
        allowed = ProgramAndSecretAllowlist(secrets=ServiceSecrets(env=("SECRET",)))
        async with Life(journal, receivers, allowed=allowed).deliverer:
            await life.clock.sleep(60)
        assert receivers.numbers("ci") == [STARTED, ENDED]

    run_virtual(attempt())


def test_a_run_that_was_moved_to_another_store_is_told_from_there() -> None:
    async def attempt() -> None:
        journal, receivers = MemoryJournal(), Receivers()
        life = Life(journal, receivers)
        await life.drive(history(RUN, CI))
        await life.deliverer.aclose()
        lease = await journal.acquire(RUN, moved_to("surrealdb"), life.clock.now())
        await journal.renew(lease, life.clock.now(), FOR_EVER)
        async with Life(journal, receivers).deliverer:
            await life.clock.sleep(60)
        assert receivers.got == []
        assert not (await life.rows())["workflow/ci"].open

    run_virtual(attempt())


async def dies_at(point: CrashPoint) -> bool:
    """A process that drives and delivers dies at this call of its store or of a receiver; the next one takes over."""
    journal, receivers, events = MemoryJournal(), Receivers(), history(RUN, CI, CHAT)
    receivers.answer("chat", BAD, GOOD)

    async def send(receiver: Receiver, message: OutgoingMessage) -> Answer:
        return await point.guard(f"send {message.id}", receivers.send, receiver, message)

    crashing = CrashingJournal(journal, point)
    life = Life(crashing, receivers, send=send)
    async with life.deliverer:
        with suppress(ProcessDied):
            await life.drive(events)
            await life.clock.sleep(30)
    for record in journal._runs.values():
        record.holder = None  # the process is gone, and so are its leases
    after = Life(journal, receivers)
    async with after.deliverer:
        if RUN in await journal.runs():
            await after.drive(events, begin=False)
        await after.clock.sleep(30)
    if RUN in await journal.runs():
        for name in ("ci", "chat"):
            numbers = receivers.numbers(name)
            assert list(dict.fromkeys(numbers)) == [STARTED, ENDED], (point, name, numbers)
            assert numbers == sorted(numbers), (point, name, numbers)  # in order, whatever stands twice
        assert [row.open for row in await journal.deliveries()] == [False, False], point
    return not point.dead


def test_a_process_that_dies_anywhere_loses_no_message(capsys: pytest.CaptureFixture[str]) -> None:
    point = CrashPoint()
    assert run_virtual(dies_at(point))
    assert any("write_delivery" in label for label in point.calls)
    assert any("send" in label for label in point.calls)
    for when in When:
        for number in range(1, point.count + 1):
            run_virtual(dies_at(CrashPoint(number, when)))
    with capsys.disabled():
        print(f"\n{2 * point.count} crash points of delivering, no message lost, each webhook told in order")
