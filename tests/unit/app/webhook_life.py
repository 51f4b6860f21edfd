"""A process that delivers to webhooks in virtual time, and receivers that answer as told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from batchwright.app.settings import ConfiguredWebhook, Settings
from batchwright.app.webhook_delivery import WebhookDeliverer
from batchwright.app.webhook_request import OutgoingMessage, Receiver
from batchwright.journal.base import Journal
from batchwright.journal.lease_holder import own_holder
from batchwright.journal.memory import MemoryJournal
from batchwright.journal.replay import load_run
from batchwright.model import events as ev
from batchwright.model.delivery import Answer, Delivery
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import RunState
from batchwright.model.run import Run
from batchwright.model.secret_reference import SecretReference
from batchwright.model.webhook import Webhook
from batchwright.testing.virtual_clock import EPOCH, VirtualClock, run_virtual
from tests.crash.scenarios import plan, servers

SECRET = SecretReference(env="SECRET")
CI = Webhook("ci", "https://ci.example/hook", SECRET, simulated=True)
CHAT = Webhook("chat", "https://chat.example/hook?token=x", SECRET, simulated=True)
OPS = ConfiguredWebhook("ops", "http://10.0.0.1/ops", SECRET, simulated=True)
GOOD, BAD = Answer(True, "204"), Answer(False, "500")
STARTED, FAILED_STEP, ENDED = 3, 5, 6  # the events of a history that can be told
RUN = "aaaabbbbcccc"


class OneStore:
    """The stores of a process that has one open."""

    def __init__(self, journal: Journal) -> None:
        self.opened = [journal]
        self._journal = journal

    async def find(self, word: str) -> tuple[Journal, str]:
        return self._journal, word

    async def summaries(self, *, partial: bool = False) -> Sequence[Any]:
        return await self._journal.summaries()


class Receivers:
    """Notes what is sent, and answers as told: by the name of the webhook, else well."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str]] = []
        self.bodies: dict[str, bytes] = {}
        self.at: list[float] = []
        self.answers: dict[str, Callable[[OutgoingMessage], Awaitable[Answer]]] = {}

    async def send(self, receiver: Receiver, message: OutgoingMessage) -> Answer:
        self.got.append((receiver.webhook.name, message.id))
        self.at.append(asyncio.get_running_loop().time())
        assert self.bodies.setdefault(message.id, message.body) == message.body  # the same however often it is sent
        answer = self.answers.get(receiver.webhook.name)
        return await answer(message) if answer is not None else GOOD

    def numbers(self, name: str) -> list[int]:
        return [int(one.rpartition(":")[2]) for who, one in self.got if who == name]

    def answer(self, name: str, *answers: Answer) -> None:
        """Give these answers in turn, and the last one from then on."""
        left = list(answers)

        async def next_one(_: OutgoingMessage) -> Answer:
            return left.pop(0) if len(left) > 1 else left[0]

        self.answers[name] = next_one

    def hang(self, name: str) -> None:
        async def for_ever(_: OutgoingMessage) -> Answer:
            await asyncio.Event().wait()
            return GOOD

        self.answers[name] = for_ever


def history(run: str, *notify: Webhook) -> list[ev.AnyEvent]:
    """A run whose only step failed."""
    made = replace(plan({"seed": 1}, servers("up", "upcloud", "a")), notify=notify)
    step = made.steps[0].id
    fault = Fault(FaultClass.CAPACITY, "zone de is full")
    return [
        ev.RunCreated(EPOCH, run, made, "ada"),
        ev.DriverStarted(EPOCH, "x:1:1", 1),
        ev.RunStarted(EPOCH),
        ev.StepStarted(EPOCH, step, 1, "t"),
        ev.StepFailed(EPOCH + 1, step, 1, fault),
        ev.RunEnded(EPOCH + 2, RunState.FAILED, "a step failed"),
    ]


class Life:
    """One process: its deliverer, over a journal that several may share."""

    def __init__(
        self,
        journal: Journal,
        receivers: Receivers,
        *configured: ConfiguredWebhook,
        send: Any = None,
        allowed: Any = None,
    ) -> None:
        self.journal, self.clock = journal, VirtualClock()
        self.settings = Settings(Path("/nowhere"), notify=configured)
        self.stores: Any = OneStore(journal)
        self.deliverer = WebhookDeliverer(self.settings, self.stores, self.clock, send or receivers.send, allowed)

    async def drive(self, events: Sequence[ev.AnyEvent], *, upto: int | None = None, begin: bool = True) -> None:
        """Drive a run as `Runs` does: lease, note who is told, append one event at a time, release."""
        created = events[0]
        assert isinstance(created, ev.RunCreated)
        if begin:
            await self.journal.create(created, Run(created).summary("memory"))
        lease = await self.journal.acquire(created.run, own_holder(), self.clock.now())
        run = await load_run(self.journal, created.run)
        await self.deliverer.enlist(self.journal, run)
        for event in events[run.seq : upto]:
            run.apply(event)
            await self.journal.append(lease, run.seq - 1, [event], run.summary("memory"))
            self.deliverer.appended(run.id, [event])
        await self.journal.release(lease)
        self.deliverer.left(run.id)

    async def rows(self) -> dict[str, Delivery]:
        return {row.webhook: row for row in await self.journal.deliveries()}


def in_one_life(work: Callable[[Life, Receivers], Awaitable[None]], *configured: ConfiguredWebhook) -> None:
    async def attempt() -> None:
        receivers = Receivers()
        life = Life(MemoryJournal(), receivers, *configured)
        async with life.deliverer:
            await work(life, receivers)

    run_virtual(attempt())
