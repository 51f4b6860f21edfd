"""What only a real account can say: asked with two of the cheapest servers, which are taken away again."""

from __future__ import annotations

from msgspec.structs import replace

from batchwright.errors import ProviderUnavailable
from batchwright.model.call_outcome import Rejected
from batchwright.model.fault import FaultClass
from batchwright.model.workflow import ServerConfig
from batchwright.providers.http import HttpReply
from batchwright.providers.live_check import CHANGED, LISTED, VANISHED, token_of
from batchwright.providers.rest_provider import THROTTLED, RestCheck
from batchwright.providers.upcloud import rows
from batchwright.providers.upcloud.catalog import UpCloudCatalog
from batchwright.providers.upcloud.faults import REFUSALS
from batchwright.providers.upcloud.pagination import UpCloudClient

ZONE = "de-fra1"

PAGES = "how many entries has a listing that asks for no number (assumed: 25)"
NO_PLAN = "how is a create with an unknown plan refused (assumed: a 4xx with a code)"
DISK = "does its disk carry the labels of the create call (assumed: yes)"
STARTED = "how soon is it started and has an address (recorded: 23 to 133 s)"
RUNS = "how is another plan refused while it runs (assumed: 409 with a STATE_ILLEGAL code)"
EARLY = "how is the delete of a started server refused (assumed: 409 with a STATE_ILLEGAL code)"
STOPPING = "how is its delete refused while it stops (assumed: the same)"
DELETED = "what does a look at a deleted server say (assumed: 404 SERVER_NOT_FOUND)"
DISK_GONE = "is its disk gone once it was detached and deleted before its server (assumed: yes)"


class UpCloudLive(RestCheck[UpCloudClient, UpCloudCatalog]):
    """The check of one opened provider."""

    questions = (
        PAGES,
        NO_PLAN,
        LISTED,
        DISK,
        STARTED,
        RUNS,
        CHANGED,
        EARLY,
        STOPPING,
        DELETED,
        DISK_GONE,
        VANISHED,
        THROTTLED,
    )
    makes = f"two servers of the cheapest plans in {ZONE}, one after the other, for some minutes"
    console = "the UpCloud control panel"

    async def config(self, name: str) -> ServerConfig:
        return ServerConfig(name, (await self._cheapest())[0], ZONE)

    async def other_plan(self) -> str:
        return (await self._cheapest())[1]

    async def _cheapest(self) -> list[str]:
        """The plans with a price, the cheapest first. Raises ProviderUnavailable."""
        offered = await self._offered()
        prices = offered.prices.get(ZONE, {})
        known = {plan: prices[f"server_plan_{plan}"] for plan in offered.plans if f"server_plan_{plan}" in prices}
        if len(known) < 2:
            raise ProviderUnavailable(f"UpCloud lists no prices of plans in {ZONE}", hint="Nothing was created.")
        return sorted(known, key=lambda plan: known[plan])

    async def ask(self, run: str) -> None:
        body = await self._api.read("/storage/public")
        bare = len(rows.entries(body, "storages", "storage"))
        every = len(await self._api.listing("/storage/public", "storages", "storage"))
        self.found(PAGES, f"{bare} of {every}", bare == 25 if every > 25 else None)
        await self._refused(run)
        await self._life(run)
        await self.vanish(await self.request("verify-2"), token_of(run, "verify-2"), 0.3)
        await self.burst("/account")  # last, since it may disturb what comes after

    async def _refused(self, run: str) -> None:
        request = replace(await self.request("verify-0"), plan="0xCPU-0GB")
        said = await self._provider.create(request, token_of(run, "verify-0"))
        told = f"{said.fault.code}: {said.fault.message}" if isinstance(said, Rejected) else str(said)
        self.found(NO_PLAN, told, isinstance(said, Rejected) and said.fault.kind is FaultClass.INVALID)

    async def _life(self, run: str) -> None:
        token = token_of(run, "verify-1")
        request = await self.request("verify-1")
        ref, began = await self.made(request, token), self._clock.now()
        await self.listed(token, began)
        listed = await self._api.listing("/storage/private", "storages", "storage", [("label", f"{rows.RUN}={run}")])
        self.found(DISK, "yes" if listed else "no", bool(listed))
        await self.started(STARTED, ref, began)
        reply = await self._api.call("PUT", f"/server/{ref}", {"server": {"plan": await self.other_plan()}})
        self.found(RUNS, self.said(reply), _illegal(reply))
        await self.changed(ref, request)
        await self._end(ref, [str(disk["uuid"]) for disk in listed])

    async def _end(self, ref: str, disks: list[str]) -> None:
        reply = await self._api.call("DELETE", f"/server/{ref}")
        self.found(EARLY, self.said(reply), _illegal(reply))
        stop = {"stop_server": {"stop_type": "hard", "timeout": "60"}}
        if not reply.ok and (await self._api.call("POST", f"/server/{ref}/stop", stop)).ok:
            reply = await self._api.call("DELETE", f"/server/{ref}")
            self.found(STOPPING, self.said(reply), _illegal(reply))
        await self.gone(ref)
        reply = await self._api.call("GET", f"/server/{ref}")
        self.found(DELETED, self.said(reply), (reply.status, REFUSALS.code(reply)) == (404, "SERVER_NOT_FOUND"))
        left = [uuid for uuid in disks if (await self._api.look(f"/storage/{uuid}")) is not None]
        self.found(DISK_GONE, "no" if left else "yes", not left)


def _illegal(reply: HttpReply) -> bool:
    return reply.status == 409 and REFUSALS.code(reply).endswith("STATE_ILLEGAL")
