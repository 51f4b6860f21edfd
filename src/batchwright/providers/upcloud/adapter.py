"""The UpCloud provider: what each method sends, and what the answers mean for the crash protocol."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from msgspec.structs import replace

from batchwright.errors import ProviderThrottled, ProviderUnavailable
from batchwright.model.call_outcome import Created, Going, Gone, Observed, Rejected, ServerState, Unknown
from batchwright.model.clock import Clock
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.ids import Token
from batchwright.model.plan import Guard
from batchwright.model.scalar import Scalar
from batchwright.model.update_behavior import FieldWay
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers import generated_ssh_keys, lookup
from batchwright.providers.base import Attached, Quota, Quote, refuse_attached
from batchwright.providers.http import HttpReply, Query
from batchwright.providers.live_check import LiveCheck
from batchwright.providers.rest_client import LookRefused, meant
from batchwright.providers.rest_provider import RestProvider
from batchwright.providers.server_change import refuse_foreign, refuse_gone
from batchwright.providers.upcloud import catalog as shop
from batchwright.providers.upcloud import config_checks, payload, quotas, rows
from batchwright.providers.upcloud.faults import REFUSALS
from batchwright.providers.upcloud.live_check import UpCloudLive
from batchwright.providers.upcloud.pagination import UpCloudClient
from batchwright.providers.upcloud.server_changes import UpCloudChange, ways
from batchwright.providers.upcloud.settings import API, UpCloudSettings, api_url, authorization
from batchwright.providers.upcloud.user_data import combined

READS_AT_ONCE = 8


class UpCloud(RestProvider[UpCloudClient, shop.UpCloudCatalog]):
    """One account. Nothing is asked before `open`, and credentials are read only there."""

    refusals = REFUSALS
    table = UpCloudSettings
    guard = Guard.LABEL_ONLY
    create_seconds = 40.0  # recorded: 23 to 133, median 34
    cascades = ("disk", "address")
    alive = "/account"
    beside = rows.DISK
    user = payload.USER

    def __init__(self, name: str, clock: Clock, settings: Mapping[str, Scalar], environ: Mapping[str, str]) -> None:
        super().__init__(name, clock, settings, environ)
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self._addresses: dict[str, str] = {}  # of servers, once they have one
        self._taken = payload.SupportedCreateFields()
        self._unfiltered: set[str] = set()  # listings that cannot be narrowed by a label
        self._addresses_listed = True  # until the token turns out to have no right to it

    def validate(self, config: ServerConfig) -> list[Diagnostic]:
        return config_checks.problems(config)

    def _connected(self) -> UpCloudClient:
        return UpCloudClient(api_url(self._settings, self._environ), authorization(self._environ), self._settings.page)

    def live_check(self) -> LiveCheck:
        """The check of assumptions in a real account."""
        return UpCloudLive(self, self._api, self._offered, self._clock)

    # -- before anything is made --------------------------------------------------------------------------------

    async def account(self) -> str:
        """The user's name, with the place of the API where that is not UpCloud's own."""
        if not self._account:
            body = await self._api.read("/account")
            name = str(body.get("account", {}).get("username") or "")
            if not name:
                raise ProviderUnavailable("UpCloud does not say whose account this is", hint="Please report it.")
            self._account = name if self._api.url == API else f"{name}@{urlsplit(self._api.url).netloc}"
        return self._account

    async def quota(self) -> Quota:
        return (await self._limits())[0]

    async def _limits(self) -> tuple[Quota, str]:
        """The limits that are reported, and why some are missing. Reading their use needs a permission of its own."""
        usage, unknown = await self._spare(self._api.look("/account/resource-usage"))
        return quotas.quota_from(await self._api.read("/account"), usage), unknown

    async def quota_after(self, requests: Sequence[ServerRequest]) -> list[Diagnostic]:
        if not requests:
            return []
        quota, unknown = await self._limits()
        found = quotas.shortages(requests, quota) or await self._rights("/server", {"server": {}})
        if unknown:
            message = f"how much of the account's limits is used is not known: {unknown}"
            found.append(Diagnostic("limit-unknown", message, "The run does not need it.", severity=Severity.WARNING))
        return found + await self._lookable()

    async def _lookable(self) -> list[Diagnostic]:
        """Whether the account's addresses may be listed: many servers at once are looked at by that."""
        try:
            await self._api.read("/ip_address", [("limit", "1")])
        except LookRefused as refused:
            if refused.fault.kind is not FaultClass.AUTH:
                return []
            self._addresses_listed = False
            hint = "Give the token the permission to list IP addresses to save calls."
            message = "the token may not list IP addresses: servers are queried one by one"
            return [Diagnostic("right-missing", message, hint, severity=Severity.WARNING)]
        return []

    async def quote(self, requests: Sequence[ServerRequest]) -> Quote | None:
        offered = await self._offered()
        if self._unpriced:
            raise ProviderUnavailable(self._unpriced, hint="Try again later.")
        return shop.quote(requests, offered)

    async def resolve(self, configs: Sequence[ServerConfig]) -> list[ServerRequest | list[Diagnostic]]:
        offered = await self._offered()
        return [self.validate(config) or shop.resolved(config, offered) for config in configs]

    async def _read_offers(self) -> shop.UpCloudCatalog:
        plans, zones, (prices, self._unpriced), templates = await asyncio.gather(
            self._api.read("/plan"),
            self._api.read("/zone"),
            self._spare(self._api.look("/price")),
            self._api.listing("/storage/template", "storages", "storage"),
        )
        return shop.offers_from(plans, zones, templates, prices)

    # -- create -------------------------------------------------------------------------------------------------

    async def create(self, request: ServerRequest, token: Token) -> Created | Rejected | Unknown:
        try:
            sent = self._taken  # another create may be refused meanwhile, and change it
            body = await asyncio.to_thread(self._body, request, token, sent)
        except OSError as error:  # no key, nothing sent
            return Rejected(Fault(FaultClass.PERMANENT, f"the keys of this run cannot be kept: {error}"))
        reply = await meant(self._api.call("POST", "/server", body, fresh=True))
        if not isinstance(reply, HttpReply):
            return reply
        if reply.ok:
            made = self._created(reply, "uuid")
            if isinstance(made, Created) and not sent.disk_labels:
                await self._label_disks(reply.body["server"], payload.labels(request, token))
            return made
        fault = REFUSALS.fault(reply)
        if not REFUSALS.certain(reply):
            return Unknown(fault.message)
        taken = sent.without(fault.code, fault.message) if fault.kind is FaultClass.INVALID else sent
        if taken != sent:  # nothing was made: the next attempt goes the other way
            self._taken = self._taken.both(taken)
            return Rejected(replace(fault, kind=FaultClass.TRANSIENT, hint="It is asked for in another way."))
        return Rejected(replace(fault, kind=FaultClass.INVALID) if fault.kind is FaultClass.NOT_FOUND else fault)

    async def _label_disks(self, server: dict[str, Any], labels: list[dict[str, str]]) -> None:
        """Label what has only the mark in its title. Whatever comes of it is well: it is done again before the server
        is deleted, and until then the disk is found with its server."""
        for uuid in rows.disks_of(server):
            await meant(self._api.call("PUT", f"/storage/{uuid}", {"storage": {"labels": labels}}))

    def _body(self, request: ServerRequest, token: Token, taken: payload.SupportedCreateFields) -> dict[str, object]:
        login_key, user_data = generated_ssh_keys.login_key(self._state, token.run, request), request.user_data
        host_key = ""
        if request.resolved.get("host_key") == "given":
            pair = self._host_key(token.run, token.value)
            host_key = pair.public
            let_in = () if taken.login_user else (login_key, *request.ssh_keys)
            user_data = combined(user_data, pair.path.read_text(), pair.public, f"=={token.value}==", let_in)
        return payload.create_body(request, token, login_key, user_data, host_key, taken)

    # -- look ---------------------------------------------------------------------------------------------------

    async def find(self, run: str | None = None, token: str | None = None) -> list[Observed]:
        wanted = [("label", rows.RUN if run is None else f"{rows.RUN}={run}")]
        wanted += [] if token is None else [("label", f"{rows.TOKEN}={token}")]
        listed, disks = await asyncio.gather(
            self._listed("/server", "servers", "server", wanted),
            self._listed("/storage/private", "storages", "storage", wanted),
        )
        servers = [row for row in listed if rows.is_ours(row, run, token)]
        await self._learn(servers)
        found = [rows.observed_server(row, self._addresses.get(str(row["uuid"]), "")) for row in servers]
        own = [row for row in disks if rows.is_ours(row, run, token) and rows.is_disk(row)]
        left = await self._leftovers(servers, own)
        return found + left

    async def _listed(self, path: str, outer: str, inner: str, wanted: Query) -> list[dict[str, Any]]:
        """A listing narrowed by labels, or whole where it cannot be narrowed: the rows say what is ours."""
        if path not in self._unfiltered:
            try:
                return await self._api.listing(path, outer, inner, wanted)
            except LookRefused as refused:
                if refused.fault.kind not in (FaultClass.INVALID, FaultClass.NOT_FOUND):
                    raise
                self._unfiltered.add(path)
        return await self._api.listing(path, outer, inner)

    async def _leftovers(self, servers: list[dict[str, Any]], disks: list[dict[str, Any]]) -> list[Observed]:
        """Disks whose server is gone. A listing does not say what a disk hangs on, so those that may be are asked."""
        made = Counter(rows.labels_of(row).get(rows.TOKEN) for row in servers)
        have = Counter(rows.labels_of(row).get(rows.TOKEN) for row in disks)
        odd = [row for row in disks if have[token := rows.labels_of(row).get(rows.TOKEN)] > made[token]]
        asked = await asyncio.gather(*(self._get("storage", str(row["uuid"])) for row in odd))
        return [rows.observed_disk(disk) for disk in asked if disk is not None and not rows.servers_of(disk)]

    async def _get(self, kind: str, uuid: str) -> dict[str, Any] | None:
        """A full record, None where it is not there. Raises ProviderUnavailable."""
        async with self._reads:
            body = await self._api.look(f"/{kind}/{uuid}")
        if body is None:
            return None
        row = body.get(kind)
        if not isinstance(row, dict) or "uuid" not in row:
            raise ProviderUnavailable(f"UpCloud's answer to /{kind}/{uuid} is not a {kind}", hint="Please report it.")
        if kind == "server":
            self._seen.add(uuid)
            if address := rows.address_of(row):
                self._addresses[uuid] = address
        return row

    async def describe(self, refs: Sequence[str]) -> dict[str, Observed]:
        servers = [ref for ref in refs if not ref.startswith(rows.DISK)]
        found = await self._servers(servers)
        for ref in refs:
            if ref.startswith(rows.DISK):
                disk = await self._get("storage", ref.removeprefix(rows.DISK))
                found[ref] = rows.observed_disk(disk) if disk else Observed(ref, ServerState.GONE)
        return await self._with_host_keys(found)

    async def _servers(self, refs: Sequence[str]) -> dict[str, Observed]:
        known = await lookup.records(refs, self._all, lambda ref: self._get("server", ref))
        return {ref: await self._shown(ref, known.get(ref)) for ref in refs}

    async def _all(self) -> dict[str, dict[str, Any]]:
        """Every server of Batchwright's, by reference. Raises ProviderUnavailable."""
        listed = await self._listed("/server", "servers", "server", [("label", rows.RUN)])
        await self._learn(listed)
        return {str(row["uuid"]): row for row in listed}

    async def _learn(self, listed: list[dict[str, Any]]) -> None:
        """Remember who is there, and ask for the addresses of the new ones: a listing of servers has none.

        One call lists the account's addresses, and it is not known whether it lists all; the rest is asked one by one.
        """
        self._seen.update(str(row["uuid"]) for row in listed)
        started = [str(row["uuid"]) for row in listed if row.get("state") == "started"]
        if self._addresses_listed and len([uuid for uuid in started if uuid not in self._addresses]) > lookup.FEW:
            try:
                shown = rows.entries(await self._api.read("/ip_address"), "ip_addresses", "ip_address")
            except LookRefused as refused:
                if refused.fault.kind not in (FaultClass.AUTH, FaultClass.INVALID):
                    raise
                self._addresses_listed, shown = False, []  # a right that the token lacks
            self._addresses |= {uuid: address for uuid, address in rows.shown_addresses(shown).items() if address}
        await asyncio.gather(*(self._get("server", uuid) for uuid in started if uuid not in self._addresses))

    async def _shown(self, ref: str, row: dict[str, Any] | None) -> Observed:
        if row is None:
            return Observed(ref, ServerState.GONE if ref in self._seen else ServerState.NOT_VISIBLE)
        return rows.observed_server(row, self._addresses.get(ref, ""))

    # -- change -------------------------------------------------------------------------------------------------

    def ways(self, observed: Observed, request: ServerRequest) -> Mapping[str, FieldWay]:
        return ways(observed, request, self._offers)

    async def change(
        self, ref: str, request: ServerRequest, before: ServerRequest
    ) -> Created | Going | Rejected | Unknown:
        row = await self._get("server", ref)
        if row is None:
            return refuse_gone(ref)
        seen = await self._shown(ref, row)
        if not (seen.run and seen.token):
            return refuse_foreign(ref)
        step = await UpCloudChange(self._send, self._stops, row, request, before).step()
        return step or Created(ref, seen.state is ServerState.READY, seen.address)

    # -- destroy ------------------------------------------------------------------------------------------------

    async def destroy(self, ref: str) -> Gone | Going | Rejected | Unknown:
        if ref.startswith(rows.DISK):
            return await meant(self._destroy_disk(ref.removeprefix(rows.DISK)))
        return await meant(self._destroy_server(ref))

    async def _destroy_server(self, ref: str) -> Gone | Going | Rejected | Unknown:
        row = await self._get("server", ref)
        if row is None:
            return Gone()
        if not rows.labels_of(row).get(rows.RUN):
            return Rejected(
                Fault(FaultClass.CONFLICT, f"{ref} does not carry Batchwright's label, so it is not touched")
            )
        if (refused := refuse_attached(rows.added_to(row))) is not None:
            return refused
        match row.get("state"):
            case "started":
                body = {"stop_server": {"stop_type": "hard", "timeout": "60"}}
                done = await self._sent("POST", f"/server/{ref}/stop", body)
                return Going("it is stopping") if isinstance(done, Gone) else done
            case "maintenance" | "pending_delete" as state:
                return Going(f"it is in the state {state}")
        return await self._delete_server(ref, row)

    async def _delete_server(self, ref: str, row: dict[str, Any]) -> Gone | Going | Rejected | Unknown:
        """All that was made with the server, then the server, so that until the end it shows what there is to do.

        A process that dies in between, or another one that goes on, needs no memory of what was done. UpCloud could
        delete all that is attached with the server (`storages=1`), but also what is not ours.
        """
        begun = False
        try:
            async for done in self._removal(ref, row):
                if isinstance(done, Rejected) and begun and done.fault.kind is FaultClass.THROTTLE:
                    return Going(done.fault.message)  # a destroy that is turned away changed nothing, and this one did
                if not isinstance(done, Gone):
                    return done
                begun = True
        except ProviderThrottled as error:
            if not begun:
                raise
            return Going(error.message)
        return Gone()

    async def _removal(self, ref: str, row: dict[str, Any]) -> AsyncIterator[Gone | Going | Rejected | Unknown]:
        """The outcome of one change after another; Gone for each that is done, of the server itself at the end."""
        addresses = rows.addresses_of(row)
        for address in addresses.floating:
            yield await self._sent("PATCH", f"/ip_address/{address}", {"ip_address": {"mac": None}})
        for address in addresses.kept:  # while the server still shows whose they are
            yield await self._sent("DELETE", f"/ip_address/{address}")
        own, _ = await self._on(row)
        devices = rows.disks_of(row)
        for disk in own:
            if not rows.is_labelled(disk):  # once it is detached, nothing but its labels says whose it is
                marks = [{"key": key, "value": value} for key, value in rows.labels_of(row).items()]
                yield await self._sent("PUT", f"/storage/{disk['uuid']}", {"storage": {"labels": marks}})
            device = {"storage_device": {"address": devices[str(disk["uuid"])]}}
            yield await self._sent("POST", f"/server/{ref}/storage/detach", device)
            yield await self._destroy_disk(str(disk["uuid"]))
        for uuid in await self._detached(row):
            yield await self._destroy_disk(uuid)
        yield await self._sent("DELETE", f"/server/{ref}")

    async def _detached(self, row: dict[str, Any]) -> list[str]:
        """Disks that were made with a server and hang on none: whoever detached them did not live to delete them."""
        labels = rows.labels_of(row)
        wanted = [("label", f"{key}={labels.get(key, '')}") for key in (rows.RUN, rows.TOKEN)]
        listed = await self._listed("/storage/private", "storages", "storage", wanted)
        made = [str(disk["uuid"]) for disk in listed if rows.is_disk(disk) and rows.made_with(disk, row)]
        found = await asyncio.gather(*(self._get("storage", uuid) for uuid in made))
        return [str(disk["uuid"]) for disk in found if disk is not None and not rows.servers_of(disk)]

    async def _on(self, row: dict[str, Any]) -> tuple[list[dict[str, Any]], list[Attached]]:
        """Of a server's full record: the disks that were made with it, and all that is on it and is not ours."""
        ref, own, foreign = str(row["uuid"]), list[dict[str, Any]](), list[Attached]()
        uuids = list(rows.disks_of(row))
        for uuid, disk in zip(uuids, await asyncio.gather(*(self._get("storage", one) for one in uuids)), strict=True):
            if disk is not None and rows.made_with(disk, row):
                own.append(disk)
                foreign += [Attached(ref, f"backup {one} of its disk") for one in rows.backups_of(disk)]
            elif disk is not None:
                foreign.append(Attached(ref, f'disk {uuid} "{disk.get("title", "")}"'))
        foreign += [Attached(ref, f"floating address {one}") for one in rows.addresses_of(row).floating]
        return own, foreign + rows.added_to(row)

    async def attached(self, refs: Sequence[str]) -> list[Attached]:
        found = await asyncio.gather(*(self._get("server", ref) for ref in refs if not ref.startswith(rows.DISK)))
        parts = await asyncio.gather(*(self._on(row) for row in found if row is not None))
        return [one for _, foreign in parts for one in foreign]

    async def _destroy_disk(self, uuid: str) -> Gone | Going | Rejected | Unknown:
        row = await self._get("storage", uuid)
        if row is None:
            return Gone()
        if not rows.labels_of(row).get(rows.RUN):
            return Rejected(Fault(FaultClass.CONFLICT, f"the disk {uuid} does not carry Batchwright's label"))
        if attached := rows.servers_of(row):
            return Rejected(Fault(FaultClass.BUSY, f"the disk {uuid} hangs on the server {attached[0]}"))
        return await self._sent("DELETE", f"/storage/{uuid}", query=[("backups", "keep")])

    async def _sent(
        self, method: str, path: str, body: object = None, query: Query = ()
    ) -> Gone | Going | Rejected | Unknown:
        """The outcome of one change during a destroy: Gone if it is done, or if there is nothing left to change."""
        reply = await self._api.call(method, path, body, query=query)
        if reply.ok:
            return Gone()
        fault = REFUSALS.fault(reply)
        if REFUSALS.nothing(reply):
            return Gone()
        if fault.kind is FaultClass.BUSY:
            return Going(fault.message)
        return Rejected(fault) if REFUSALS.certain(reply) else Unknown(fault.message)
