"""What only a real project can say: asked with servers of the cheapest type, which are taken away again."""

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
from batchwright.providers.hetzner import payload, rows
from batchwright.providers.hetzner.client import Client
from batchwright.providers.hetzner.faults import error_of
from batchwright.providers.hetzner.offers import Offers, cheapest
from batchwright.providers.http import NoAnswer, NotSent, Reply
from batchwright.providers.live import VANISHED, Finding, Inquiry, Tell

PATIENCE = 600.0  # seconds for each thing that is waited for
BURST = 20

THROTTLED = f"are {BURST} reads at once throttled"
NO_TYPE = "how is a create with an unknown server type refused (assumed: a 4xx with a code)"
NO_KEY = "how is a create refused that names an SSH key which is not there (assumed: not_found)"
LISTED = "how soon is a new server listed by its label (assumed: within the settle time)"
TWICE = "how is a second create under the same name refused (assumed: 409 uniqueness_error)"
STARTED = "how soon does it run and have an address (assumed: 20 s)"
DELETED = "what does a look at a deleted server say (assumed: 404 not_found)"
FREED = "is its name free as soon as that is said (assumed: yes)"
ADDRESSES = "are its addresses gone with it (assumed: yes)"


class HetznerLive:
    """The check of one opened provider."""

    questions: tuple[str, ...] = (
        THROTTLED,
        NO_TYPE,
        NO_KEY,
        LISTED,
        TWICE,
        STARTED,
        DELETED,
        FREED,
        ADDRESSES,
        VANISHED,
    )
    makes = "three servers of the cheapest type, one after the other, for some minutes, and one SSH key"

    def __init__(self, provider: Provider, api: Client, offered: Callable[[], Awaitable[Offers]], clock: Clock) -> None:
        self._provider, self._api, self._offered, self._clock = provider, api, offered, clock
        self._inquiry = Inquiry(provider, clock, PATIENCE, passing=(NotSent, NoAnswer))

    async def cost(self) -> Quote | None:
        return await self._provider.quote([await self._request(name) for name in ("verify-1", "verify-1", "verify-2")])

    async def _request(self, name: str) -> ServerRequest:
        plan, zone = cheapest(await self._offered())
        (answer,) = await self._provider.resolve([ServerConfig(name, plan, zone)])
        if not isinstance(answer, ServerRequest):
            raise ProviderUnavailable(answer[0].message, hint=answer[0].hint)
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
            hint = "Remove it in the Hetzner console: it is billed."
            await self._inquiry.clean(run, ProviderUnavailable(residue, hint=hint))
        return self._inquiry.findings

    async def _reads(self) -> None:
        answers = await asyncio.gather(*(self._api.call("GET", "/locations") for _ in range(BURST)))
        turned_away = sum(answer.status == 429 for answer in answers)
        waits = sorted({answer.retry_after for answer in answers if answer.retry_after is not None})
        self._inquiry.found(THROTTLED, f"{turned_away} of {BURST}, Retry-After {waits or 'not given'}")

    async def _refused(self, run: str) -> None:
        request, token = await self._request("verify-0"), _token(run, "verify-0")
        said = await self._provider.create(replace(request, plan="cx999"), token)  # which leaves the run's key there
        told = f"{said.fault.code}: {said.fault.message}" if isinstance(said, Rejected) else str(said)
        self._inquiry.found(NO_TYPE, told, isinstance(said, Rejected))
        keyless = payload.create_body(request, token, "") | {"ssh_keys": [f"{rows.key_name(run)}-none"]}
        reply = await self._api.call("POST", "/servers", keyless)
        self._inquiry.found(NO_KEY, _said(reply), error_of(reply)[0] == "not_found")

    async def _life(self, run: str) -> None:
        request, token = await self._request("verify-1"), _token(run, "verify-1")
        ref, began = await self._made(request, token), self._clock.now()
        while not await self._provider.find(run, token.value):
            await self._inquiry.wait(began, "is not listed by its label")
        seconds = self._clock.now() - began
        self._inquiry.found(LISTED, f"after {seconds:.1f} s", seconds <= self._inquiry.settle)
        reply = await self._api.call("POST", "/servers", payload.create_body(request, token, ""))
        self._inquiry.found(TWICE, _said(reply), (reply.status, error_of(reply)[0]) == (409, "uniqueness_error"))
        while (await self._provider.describe([ref]))[ref].state is not ServerState.READY:
            await self._inquiry.wait(began, "does not run")
        self._inquiry.found(STARTED, f"after {self._clock.now() - began:.0f} s")
        addresses = rows.address_ids(await self._api.read(f"/servers/{ref}"))
        await self._end(ref)
        again = await self._provider.create(request, _token(run, "verify-1", 2))
        free = isinstance(again, Created)
        self._inquiry.found(FREED, "yes" if isinstance(again, Created) else str(again), free)
        if isinstance(again, Created):
            await self._gone(again.ref)
        left = [number for number in addresses if (await self._api.look(f"/primary_ips/{number}")) is not None]
        self._inquiry.found(ADDRESSES, f"{len(left)} of {len(addresses)} are left", not left if addresses else None)

    async def _made(self, request: ServerRequest, token: Token) -> str:
        said = await self._provider.create(request, token)
        if not isinstance(said, Created):
            raise ProviderUnavailable(f"the check could not make its server: {said}", hint="Nothing else was asked.")
        return said.ref

    async def _end(self, ref: str) -> None:
        await self._gone(ref)
        reply = await self._api.call("GET", f"/servers/{ref}")
        self._inquiry.found(DELETED, _said(reply), (reply.status, error_of(reply)[0]) == (404, "not_found"))

    async def _gone(self, ref: str) -> None:
        began = self._clock.now()
        while not isinstance(await self._provider.destroy(ref), Gone):
            await self._inquiry.wait(began, "does not go")


def _token(run: str, step: str, generation: int = 1) -> Token:
    return Token(run, step_token(run, step, generation))


def _said(reply: Reply) -> str:
    return f"HTTP {reply.status}" + ("" if reply.ok else f" {error_of(reply)[0]}")
