"""The Hetzner provider: what each method sends, and what the answers mean for the crash protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from batchwright.errors import ProviderUnavailable
from batchwright.model.call_outcome import Created, Going, Gone, Observed, Rejected, ServerState, Unknown
from batchwright.model.clock import Clock
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.ids import Token
from batchwright.model.plan import Guard
from batchwright.model.scalar import Scalar
from batchwright.model.update_behavior import FieldWay
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers import generated_ssh_keys, lookup
from batchwright.providers.base import Attached, Quota, Quote, refuse_attached
from batchwright.providers.hetzner import catalog as shop
from batchwright.providers.hetzner import config_checks, payload, rows
from batchwright.providers.hetzner.faults import REFUSALS
from batchwright.providers.hetzner.live_check import HetznerLive
from batchwright.providers.hetzner.pagination import HetznerClient
from batchwright.providers.hetzner.server_changes import NEWEST_FIRST, HetznerChange, ways
from batchwright.providers.hetzner.settings import API, HetznerSettings, api_url, project_of, token_of
from batchwright.providers.http import HttpReply, NoAnswer, NotSent
from batchwright.providers.live_check import LiveCheck
from batchwright.providers.rest_client import meant
from batchwright.providers.rest_provider import RestProvider
from batchwright.providers.server_change import refuse_foreign, refuse_gone
from batchwright.providers.user_data import combined


class Hetzner(RestProvider[HetznerClient, shop.HetznerCatalog]):
    """One project. Nothing is asked before `open`, and the token is read only there."""

    refusals = REFUSALS
    table = HetznerSettings
    guard = Guard.UNIQUE_NAME
    create_seconds = 20.0
    cascades = ("disk", "address")
    alive = "/locations"
    beside = rows.KEY
    _settings: HetznerSettings

    def __init__(self, name: str, clock: Clock, settings: Mapping[str, Scalar], environ: Mapping[str, str]) -> None:
        super().__init__(name, clock, settings, environ)
        self._key_names: dict[str, str] = {}  # of the SSH keys that exist in the project, by public key

    def validate(self, config: ServerConfig) -> list[Diagnostic]:
        return config_checks.problems(config)

    def _connected(self) -> HetznerClient:
        url, token = api_url(self._settings, self._environ), token_of(self._environ)
        project = project_of(self._settings, token)
        self._account = project if url == API else f"{project}@{urlsplit(url).netloc}"
        return HetznerClient(url, f"Bearer {token}", self._settings.page)

    def live_check(self) -> LiveCheck:
        """The check of assumptions in a real project."""
        return HetznerLive(self, self._api, self._offered, self._clock)

    # -- before anything is made --------------------------------------------------------------------------------

    async def account(self) -> str:
        """The project's name from the settings, or one derived from the token: the API tells neither."""
        return self._account

    async def quota(self) -> Quota:
        return Quota()  # the API does not tell a project's limits

    async def quota_after(self, requests: Sequence[ServerRequest]) -> list[Diagnostic]:
        return await self._rights("/servers", {}) if requests else []  # the API does not tell a project's limits

    async def quote(self, requests: Sequence[ServerRequest]) -> Quote | None:
        offered = await self._offered()
        if self._unpriced:
            raise ProviderUnavailable(self._unpriced, hint="Try again later.")
        return shop.quote(requests, offered)

    async def resolve(self, configs: Sequence[ServerConfig]) -> list[ServerRequest | list[Diagnostic]]:
        offered, servers = await self._offered(), await self._api.listing("servers")
        taken = {str(row["name"]): str(row["id"]) for row in servers if not rows.is_ours(row, None, None)}
        return [self.validate(config) or shop.resolved(config, offered, taken) for config in configs]

    async def _read_offers(self) -> shop.HetznerCatalog:
        types, locations, images, (pricing, self._unpriced) = await asyncio.gather(
            self._api.listing("server_types"),
            self._api.listing("locations"),
            self._api.listing("images", [("status", "available")]),
            self._spare(self._api.look("/pricing")),
        )
        return shop.offers_from(types, locations, images, pricing)

    # -- create -------------------------------------------------------------------------------------------------

    async def create(self, request: ServerRequest, token: Token) -> Created | Rejected | Unknown:
        wrong = self.validate(ServerConfig(request.name, request.plan, request.zone))
        if wrong:  # checked before the run's key is created
            return Rejected(Fault(FaultClass.INVALID, wrong[0].message, hint=wrong[0].hint))
        try:
            host_key, user_data = await asyncio.to_thread(self._user_data, request, token)
            login_key = await asyncio.to_thread(generated_ssh_keys.login_key, self._state, token.run, request)
        except OSError as error:  # no key, nothing sent
            return Rejected(Fault(FaultClass.PERMANENT, f"the keys of this run cannot be kept: {error}"))
        shared = request.login is not None and request.login.key == login_key
        key_name = await self._key_name(login_key, "" if shared else token.run)
        if isinstance(key_name, Fault):
            return Rejected(key_name)
        body = payload.create_body(request, token, user_data, key_name, host_key)
        reply = await meant(self._api.call("POST", "/servers", body, fresh=True))
        if not isinstance(reply, HttpReply):
            return reply
        if reply.ok:
            made = self._created(reply, "id")
            if isinstance(made, Created):
                await self._note_addresses(made.ref, reply.body, body["labels"])
            return made
        return await self._refused(reply, request, token, login_key)

    async def _note_addresses(self, ref: str, answer: Any, labels: Any) -> None:
        """Record which addresses were created with the server, for its destroy: they have no labels of their own.

        A failure is harmless: `own_address` has another way to tell.
        """
        if numbers := "-".join(map(str, rows.address_ids(answer))):
            await meant(self._api.call("PUT", f"/servers/{ref}", {"labels": {**labels, rows.ADDRESSES: numbers}}))

    async def _refused(
        self, reply: HttpReply, request: ServerRequest, token: Token, login_key: str
    ) -> Created | Rejected | Unknown:
        fault = REFUSALS.fault(reply)
        if not REFUSALS.certain(reply):
            return Unknown(fault.message)
        if fault.kind is FaultClass.CONFLICT:
            return await self._namesake(request.name, token, fault)
        if fault.kind is FaultClass.NOT_FOUND and self._key_names.pop(login_key, None) is not None:
            # somebody may have removed the key: create it again next time
            return Rejected(Fault(FaultClass.TRANSIENT, fault.message, fault.code))
        return Rejected(fault)

    async def _namesake(self, name: str, token: Token, fault: Fault) -> Created | Rejected | Unknown:
        """The outcome when the name is taken. If an earlier call with this token took it, that is the server."""
        try:
            body = await self._api.read("/servers", [("name", name)])
        except ProviderUnavailable as error:
            return Unknown(error.message)
        found = [row for row in body.get("servers", ()) if row.get("name") == name]
        if not found:
            return Unknown(f'the name "{name}" is taken by a server that is not visible yet')
        row = found[0]
        if rows.is_ours(row, token.run, token.value):
            return Created(str(row["id"]))
        if row.get("status") == "deleting":
            return Rejected(Fault(FaultClass.BUSY, f'the name "{name}" is still taken by a server under deletion'))
        hint = "Names are unique at Hetzner: use another one, or remove that server."
        if run := rows.labels_of(row).get(rows.RUN):
            message = f'another run ({run}) created the server "{name}" in this project ({row["id"]})'
            return Rejected(Fault(FaultClass.CONFLICT, message, "server-exists", hint))
        return Rejected(Fault(FaultClass.CONFLICT, f"{fault.message} (server {row['id']})", fault.code, hint))

    async def _key_name(self, public: str, run: str) -> str | Fault:
        """The name of this key, which now exists: the create call names it, without a key Hetzner mails a password.

        `run`: it is this run's own. One that several runs use has no run's label and stays in the project.
        """
        async with self._first:
            if public in self._key_names:
                return self._key_names[public]
            name = rows.key_name(run) if run else rows.shared_key_name(public)
            body = {"name": name, "public_key": public, "labels": {rows.RUN: run} if run else {}}
            try:
                reply = await self._api.call("POST", "/ssh_keys", body)
            except (NotSent, NoAnswer) as error:  # names of keys are unique, so a retry cannot create a second one
                return Fault(FaultClass.TRANSIENT, f"the SSH key: {error}")
            fault = None if reply.ok else REFUSALS.fault(reply)
            if fault is not None and not REFUSALS.certain(reply):
                return Fault(FaultClass.TRANSIENT, f"the SSH key: {fault.message}", fault.code)
            if fault is not None and fault.kind is not FaultClass.CONFLICT:
                return fault
            if fault is not None and not run:  # keys are unique too: someone may have added it under another name
                listed = await self._api.listing("ssh_keys")
                name = next((str(row["name"]) for row in listed if rows.is_key(row, public)), name)
            self._key_names[public] = name
            return name

    def _user_data(self, request: ServerRequest, token: Token) -> tuple[str, str]:
        """The public host key, and the user data that gives it to the server."""
        host = self._host_key(token.run, token.value)
        boundary = f"batchwright-{token.value}"
        private = host.path.read_text()
        return host.public, combined(request.user_data, request.ssh_keys, private, host.public, boundary)

    # -- look ---------------------------------------------------------------------------------------------------

    async def find(self, run: str | None = None, token: str | None = None) -> list[Observed]:
        wanted = rows.selector(run, token)
        servers = [row for row in await self._api.listing("servers", wanted) if rows.is_ours(row, run, token)]
        self._seen.update(str(row["id"]) for row in servers)
        found = [rows.observed_server(row) for row in servers]
        if token is not None:
            return found
        needed = {one.run for one in found}
        listed = [row for row in await self._api.listing("ssh_keys", wanted) if rows.is_ours(row, run, None)]
        return found + [rows.observed_key(row) for row in listed if rows.labels_of(row)[rows.RUN] not in needed]

    async def describe(self, refs: Sequence[str]) -> dict[str, Observed]:
        known = await lookup.records(refs, self._all, self._get)
        return await self._with_host_keys({ref: self._shown(ref, known.get(ref)) for ref in refs})

    async def _all(self) -> dict[str, dict[str, Any]]:
        """Every server of Batchwright, by reference. Raises ProviderUnavailable."""
        listed = await self._api.listing("servers", rows.selector(None, None))
        known = {str(row["id"]): row for row in listed}
        self._seen.update(known)
        return known

    async def _get(self, ref: str) -> dict[str, Any] | None:
        """The record of a server or a key; None if it does not exist. Raises ProviderUnavailable."""
        is_key = ref.startswith(rows.KEY)
        path = f"/ssh_keys/{ref.removeprefix(rows.KEY)}" if is_key else f"/servers/{ref}"
        body = await self._api.look(path)
        row = body.get("ssh_key" if is_key else "server") if body is not None else None
        if body is not None and not isinstance(row, dict):
            raise ProviderUnavailable(f"Hetzner's answer to {path} has no record", hint="Please report it.")
        if row is not None:
            self._seen.add(ref)
        return row

    def _shown(self, ref: str, row: dict[str, Any] | None) -> Observed:
        if row is None:
            gone = ref in self._seen or ref.startswith(rows.KEY)
            return Observed(ref, ServerState.GONE if gone else ServerState.NOT_VISIBLE)
        return rows.observed_key(row) if ref.startswith(rows.KEY) else rows.observed_server(row)

    # -- change -------------------------------------------------------------------------------------------------

    def ways(self, observed: Observed, request: ServerRequest) -> Mapping[str, FieldWay]:
        return ways(observed, request, self._offers.types if self._offers is not None else {})

    async def change(
        self, ref: str, request: ServerRequest, before: ServerRequest
    ) -> Created | Going | Rejected | Unknown:
        row = await self._get(ref)
        if row is None or row.get("status") == "deleting":
            return refuse_gone(ref)
        if not (rows.labels_of(row).get(rows.RUN) and rows.labels_of(row).get(rows.TOKEN)):
            return refuse_foreign(ref)
        actions = (await self._api.read(f"/servers/{ref}/actions", NEWEST_FIRST)).get("actions", ())
        step = await HetznerChange(self._send, self._clock.now(), row, actions, request, before).step()
        seen = rows.observed_server(row)
        return step or Created(ref, seen.state is ServerState.READY, seen.address)

    # -- destroy ------------------------------------------------------------------------------------------------

    async def destroy(self, ref: str) -> Gone | Going | Rejected | Unknown:
        row = await self._get(ref)
        if row is None:
            return Gone()
        if not rows.labels_of(row).get(rows.RUN):
            return Rejected(Fault(FaultClass.CONFLICT, f"{ref} does not carry Batchwright's label: not touched"))
        if row.get("status") == "deleting":
            return Going("it is being deleted")
        is_key = ref.startswith(rows.KEY)
        if not is_key and (first := await meant(self._part(ref, row))) is not None:
            return first
        path = f"/ssh_keys/{row['id']}" if is_key else f"/servers/{row['id']}"
        reply = await meant(self._api.call("DELETE", path))
        if not isinstance(reply, HttpReply):
            return reply
        if reply.ok:
            self._key_names = {key: name for key, name in self._key_names.items() if name != row.get("name")}
            return Gone() if is_key else Going("it is being deleted")
        return _refusal(reply)

    async def _part(self, ref: str, row: dict[str, Any]) -> Gone | Going | Rejected | Unknown | None:
        """Detach what is not ours. None if nothing foreign is left that would be deleted with the server."""
        attached = await self._on(row)
        if (refused := refuse_attached([one for one, _, _ in attached])) is not None:
            return refused
        for one, method, path in attached:
            if not path:
                continue
            reply = await self._api.call(method, path, {"auto_delete": False} if method == "PUT" else {})
            if not reply.ok:
                said = _refusal(reply)
                if isinstance(said, Rejected) and said.fault.kind is not FaultClass.THROTTLE:
                    return refuse_attached([Attached(ref, one.what, f"it cannot be detached: {said.fault.message}")])
                return Going(f"{one.what} is gone already") if isinstance(said, Gone) else said
        return Going("its volumes are being detached") if rows.numbers_of(row, "volumes") else None

    async def _on(self, row: dict[str, Any]) -> list[tuple[Attached, str, str]]:
        """Foreign things on a server, each with the call that detaches it; an empty path means it stays by itself."""
        ref = str(row["id"])
        found = [
            (Attached(ref, f"volume {one}"), "POST", f"/volumes/{one}/actions/detach")
            for one in rows.numbers_of(row, "volumes")
        ]
        floating = rows.numbers_of(row, "public_net", "floating_ips")
        found += [(Attached(ref, f"floating IP {number}"), "", "") for number in floating]
        for number in rows.address_ids({"server": row}):
            if str(number) in rows.labels_of(row).get(rows.ADDRESSES, "").split("-"):
                continue
            address = (await self._api.look(f"/primary_ips/{number}") or {}).get("primary_ip")
            if isinstance(address, dict) and not rows.own_address(row, address):
                path = f"/primary_ips/{number}" if address.get("auto_delete") else ""
                found.append((Attached(ref, f"primary IP {address.get('ip', number)}"), "PUT", path))
        if row.get("backup_window"):
            why = "Hetzner deletes it with the server: convert it to a snapshot, or disable the server's backups"
            backups = await self._api.listing("images", [("type", "backup")])
            mine = [one for one in backups if str(one.get("bound_to")) == ref]
            found += [(Attached(ref, f"backup {one['id']}", why), "", "") for one in mine]
        return found

    async def attached(self, refs: Sequence[str]) -> list[Attached]:
        records = [row for ref in refs if not ref.startswith(rows.KEY) and (row := await self._get(ref)) is not None]
        return [one for row in records for one, _, _ in await self._on(row)]


def _refusal(reply: HttpReply) -> Gone | Going | Rejected | Unknown:
    """The outcome of a refused change during a destroy."""
    fault = REFUSALS.fault(reply)
    if not REFUSALS.certain(reply):
        return Unknown(fault.message)
    if fault.kind is FaultClass.NOT_FOUND:
        return Gone()
    return Going(fault.message) if fault.kind is FaultClass.BUSY else Rejected(fault)
