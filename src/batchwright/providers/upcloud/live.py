"""What only a real account can say: asked with two of the cheapest servers, which are taken away again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from batchwright.errors import ProviderUnavailable
from batchwright.model.clock import Clock
from batchwright.model.ids import Token, step_token
from batchwright.model.outcome import Created, Gone, Rejected, ServerState
from batchwright.model.plan import ServerRequest
from batchwright.model.workflow import ServerConfig
from batchwright.providers.base import Provider, Quote
from batchwright.providers.http import NoAnswer, NotSent
from batchwright.providers.live import VANISHED, Finding, Inquiry, Tell
from batchwright.providers.upcloud import rows
from batchwright.providers.upcloud.client import Client
from batchwright.providers.upcloud.faults import Answer, fault_of
from batchwright.providers.upcloud.offers import Offers

ZONE = "de-fra1"
PATIENCE = 600.0  # seconds for each thing that is waited for
BURST = 20

PAGES = "how many entries has a listing that asks for no number (assumed: 25)"
THROTTLED = f"are {BURST} reads at once throttled"
NO_PLAN = "how is a create with an unknown plan refused (assumed: a 4xx with a code)"
LISTED = "how soon is a new server listed by its label (assumed: within the settle time)"
DISK = "does its disk carry the labels of the create call (assumed: yes)"
STARTED = "how soon is it started and has an address (recorded: 23 to 133 s)"
EARLY = "how is the delete of a started server refused (assumed: 409 with a STATE_ILLEGAL code)"
STOPPING = "how is its delete refused while it stops (assumed: the same)"
DELETED = "what does a look at a deleted server say (assumed: 404 SERVER_NOT_FOUND)"
DISK_GONE = "how soon is its disk gone (recorded: 1 s)"


class UpCloudLive:
    """The check of one opened provider."""

    questions: tuple[str, ...] = (
        PAGES,
        THROTTLED,
        NO_PLAN,
        LISTED,
        DISK,
        STARTED,
        EARLY,
        STOPPING,
        DELETED,
        DISK_GONE,
        VANISHED,
    )
    makes = f"two servers of the cheapest plan in {ZONE}, one after the other, for some minutes"

    def __init__(self, provider: Provider, api: Client, offered: Callable[[], Awaitable[Offers]], clock: Clock) -> None:
        self._provider, self._api, self._offered, self._clock = provider, api, offered, clock
        self._inquiry = Inquiry(provider, clock, PATIENCE, passing=(NotSent, NoAnswer))

    async def cost(self) -> Quote | None:
        request = await self._request("verify-1")
        return await self._provider.quote([request, request])

    async def _request(self, name: str) -> ServerRequest:
        offered = await self._offered()
        prices = offered.prices.get(ZONE, {})
        known = {plan: prices[f"server_plan_{plan}"] for plan in offered.plans if f"server_plan_{plan}" in prices}
        if not known:
            raise ProviderUnavailable(f"UpCloud lists no price of a plan in {ZONE}", hint="Nothing was made.")
        cheapest = min(known, key=lambda plan: known[plan])
        (answer,) = await self._provider.resolve([ServerConfig(name, cheapest, ZONE)])
        if not isinstance(answer, ServerRequest):
            raise ProviderUnavailable(f"{answer[0].message}", hint=answer[0].hint)
        return answer

    async def run(self, run: str, tell: Tell) -> list[Finding]:
        self._inquiry.begin(tell)
        try:
            await self._reads()
            await self._refused(run)
            await self._life(run)
            await self._inquiry.vanish(await self._request("verify-2"), _token(run, "verify-2"), 0.3)
        finally:
            residue = f"what carries the label {rows.RUN}={run} could not all be removed"
            hint = "Remove it in the UpCloud control panel: it is billed."
            await self._inquiry.clean(run, ProviderUnavailable(residue, hint=hint))
        return self._inquiry.findings

    async def _reads(self) -> None:
        body = await self._api.read("/storage/public")
        bare = len(rows.entries(body, "storages", "storage"))
        every = len(await self._api.listing("/storage/public", "storages", "storage"))
        limited = bare == 25 if every > 25 else None
        self._inquiry.found(PAGES, f"{bare} of {every}", limited)
        answers = await asyncio.gather(*(self._api.call("GET", "/account") for _ in range(BURST)))
        turned_away = sum(answer.status == 429 for answer in answers)
        waits = sorted({answer.retry_after for answer in answers if answer.retry_after is not None})
        self._inquiry.found(THROTTLED, f"{turned_away} of {BURST}, Retry-After {waits or 'not given'}")

    async def _refused(self, run: str) -> None:
        request = replace(await self._request("verify-0"), plan="0xCPU-0GB")
        said = await self._provider.create(request, _token(run, "verify-0"))
        told = f"{said.fault.code}: {said.fault.message}" if isinstance(said, Rejected) else str(said)
        self._inquiry.found(NO_PLAN, told, isinstance(said, Rejected))

    async def _life(self, run: str) -> None:
        token = _token(run, "verify-1")
        said = await self._provider.create(await self._request("verify-1"), token)
        began = self._clock.now()
        if not isinstance(said, Created):
            raise ProviderUnavailable(f"the check could not make its server: {said}", hint="Nothing else was asked.")
        ref = said.ref
        while not await self._provider.find(run, token.value):
            await self._inquiry.wait(began, "is not listed by its label")
        seconds = self._clock.now() - began
        self._inquiry.found(LISTED, f"after {seconds:.1f} s", seconds <= self._inquiry.settle)
        listed = await self._api.listing("/storage/private", "storages", "storage", [("label", f"{rows.RUN}={run}")])
        self._inquiry.found(DISK, "yes" if listed else "no", bool(listed))
        while (await self._provider.describe([ref]))[ref].state is not ServerState.READY:
            await self._inquiry.wait(began, "is not started")
        self._inquiry.found(STARTED, f"after {self._clock.now() - began:.0f} s")
        await self._end(ref, [str(disk["uuid"]) for disk in listed])

    async def _end(self, ref: str, disks: list[str]) -> None:
        query = [("storages", "1"), ("backups", "delete")]
        answer = await self._api.call("DELETE", f"/server/{ref}", query=query)
        self._inquiry.found(EARLY, _said(answer), answer.status == 409 and answer.code.endswith("STATE_ILLEGAL"))
        stop = {"stop_server": {"stop_type": "hard"}}
        if not answer.ok and (await self._api.call("POST", f"/server/{ref}/stop", stop)).ok:
            answer = await self._api.call("DELETE", f"/server/{ref}", query=query)
            self._inquiry.found(STOPPING, _said(answer), answer.status == 409 and answer.code.endswith("STATE_ILLEGAL"))
        began = self._clock.now()
        while not isinstance(await self._provider.destroy(ref), Gone):
            await self._inquiry.wait(began, "does not go")
        answer = await self._api.call("GET", f"/server/{ref}")
        self._inquiry.found(DELETED, _said(answer), answer.status == 404 and answer.code == "SERVER_NOT_FOUND")
        began = self._clock.now()
        while [uuid for uuid in disks if (await self._api.look(f"/storage/{uuid}")).ok]:
            await self._inquiry.wait(began, "has left its disk")
        self._inquiry.found(DISK_GONE, f"within {self._clock.now() - began:.1f} s of the server")


def _token(run: str, step: str) -> Token:
    return Token(run, step_token(run, step, 1))


def _said(answer: Answer) -> str:
    return f"HTTP {answer.status}" + ("" if answer.ok else f" {fault_of(answer).code}")
