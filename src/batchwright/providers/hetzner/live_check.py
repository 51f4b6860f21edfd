"""Assumptions that only a real project can confirm, checked with the cheapest servers, which are then removed."""

from __future__ import annotations

from msgspec.structs import replace

from batchwright.model.call_outcome import Created, Rejected
from batchwright.model.fault import FaultClass
from batchwright.model.workflow import ServerConfig
from batchwright.providers.hetzner import payload, rows
from batchwright.providers.hetzner.catalog import HetznerCatalog, cheapest, cheapest_beside
from batchwright.providers.hetzner.faults import REFUSALS
from batchwright.providers.hetzner.pagination import HetznerClient
from batchwright.providers.live_check import CHANGED, LISTED, VANISHED, token_of
from batchwright.providers.rest_provider import THROTTLED, RestCheck

NO_TYPE = "how is a create with an unknown server type refused (assumed: a 4xx with a code)"
NO_KEY = "how is a create refused that names an SSH key which is not there (assumed: not_found)"
TWICE = "how is a second create under the same name refused (assumed: 409 uniqueness_error)"
STARTED = "how soon does it run and have an address (assumed: 20 s)"
RUNS = "how is another type refused while it runs (assumed: server_not_stopped)"
DELETED = "what does a look at a deleted server say (assumed: 404 not_found)"
FREED = "is its name free as soon as that is said (assumed: yes)"
ADDRESSES = "are its addresses gone with it (assumed: yes)"


class HetznerLive(RestCheck[HetznerClient, HetznerCatalog]):
    """The check of one opened provider."""

    questions = (
        NO_TYPE,
        NO_KEY,
        LISTED,
        TWICE,
        STARTED,
        RUNS,
        CHANGED,
        DELETED,
        FREED,
        ADDRESSES,
        VANISHED,
        THROTTLED,
    )
    makes = "three servers of the cheapest types, one after the other, for some minutes, and one SSH key"
    servers = ("verify-1", "verify-1", "verify-2")
    console = "the Hetzner console"

    async def config(self, name: str) -> ServerConfig:
        plan, zone = cheapest(await self._offered())
        return ServerConfig(name, plan, zone)

    async def other_plan(self) -> str:
        offered = await self._offered()
        return cheapest_beside(offered, *cheapest(offered))

    async def ask(self, run: str) -> None:
        await self._refused(run)
        await self._life(run)
        await self.vanish(await self.request("verify-2"), token_of(run, "verify-2"), 0.3)
        await self.burst("/locations")  # last, since it may disturb later calls

    async def _refused(self, run: str) -> None:
        request, token = await self.request("verify-0"), token_of(run, "verify-0")
        said = await self._provider.create(replace(request, plan="cx999"), token)  # leaves the run's key there
        told = f"{said.fault.code}: {said.fault.message}" if isinstance(said, Rejected) else str(said)
        self.found(NO_TYPE, told, isinstance(said, Rejected) and said.fault.kind is FaultClass.INVALID)
        keyless = payload.create_body(request, token, "", f"{rows.key_name(run)}-none", "")
        reply = await self._api.call("POST", "/servers", keyless)
        self.found(NO_KEY, self.said(reply), REFUSALS.code(reply) == "not_found")

    async def _life(self, run: str) -> None:
        request, token = await self.request("verify-1"), token_of(run, "verify-1")
        ref, began = await self.made(request, token), self._clock.now()
        await self.listed(token, began)
        reply = await self._api.call(
            "POST", "/servers", payload.create_body(request, token, "", rows.key_name(run), "")
        )
        self.found(TWICE, self.said(reply), (reply.status, REFUSALS.code(reply)) == (409, "uniqueness_error"))
        await self.started(STARTED, ref, began)
        if other := await self.other_plan():
            body = {"server_type": other, "upgrade_disk": False}
            reply = await self._api.call("POST", f"/servers/{ref}/actions/change_type", body)
            self.found(RUNS, self.said(reply), REFUSALS.code(reply) == "server_not_stopped")
            await self.changed(ref, request)
        addresses = rows.address_ids(await self._api.read(f"/servers/{ref}"))
        await self.gone(ref)
        reply = await self._api.call("GET", f"/servers/{ref}")
        self.found(DELETED, self.said(reply), (reply.status, REFUSALS.code(reply)) == (404, "not_found"))
        second = await self._provider.create(request, token_of(run, "verify-1", 2))
        free = isinstance(second, Created)
        self.found(FREED, "yes" if free else str(second), free)
        if isinstance(second, Created):
            await self.gone(second.ref)
        left = [number for number in addresses if (await self._api.look(f"/primary_ips/{number}")) is not None]
        self.found(ADDRESSES, f"{len(left)} of {len(addresses)} are left", not left if addresses else None)
