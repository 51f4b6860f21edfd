"""The provider port over a driver of Libcloud: which calls each method makes, and what the answers mean."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from libcloud.compute.base import Node, NodeDriver, StorageVolume
from libcloud.compute.types import NodeState
from msgspec.structs import replace

from batchwright import (
    Attached,
    Capabilities,
    Clock,
    Created,
    Diagnostic,
    Fault,
    FaultClass,
    Going,
    Gone,
    Guard,
    Observed,
    ProviderHealthReport,
    ProviderUnavailable,
    Quota,
    Quote,
    Rejected,
    Scalar,
    ServerConfig,
    ServerRequest,
    ServerState,
    SshAccess,
    Token,
    Unknown,
    refuse_attached,
)
from batchwright.durable_files import FolderHeld
from batchwright.providers import generated_ssh_keys
from batchwright.providers.lookup import is_wanted
from batchwright.providers.user_data import combined
from batchwright_libcloud import attached_volumes, resolve
from batchwright_libcloud.driver import Drivers, Make, maker, user_data_argument
from batchwright_libcloud.faults import outcome, told, unavailable
from batchwright_libcloud.marks import Mark, Marks, mark_of
from batchwright_libcloud.settings import account_of, address, credentials, settings_from

_NOTES = {
    "metadata": "finds its servers by metadata",
    "name": "run and token are part of a server's name at the cloud",
    "nothing": "after a crash, duplicates are possible here",
}
_STATES = {
    NodeState.RUNNING: ServerState.READY,
    NodeState.STOPPING: ServerState.STOPPING,
    NodeState.TERMINATED: ServerState.GONE,
    NodeState.ERROR: ServerState.BROKEN,
    NodeState.STOPPED: ServerState.BROKEN,
}  # all other states pass


class Libcloud:
    """One account of the cloud that the settings name."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        settings: Mapping[str, Scalar],
        environ: Mapping[str, str],
        make: Make | None = None,
    ) -> None:
        self.name = name
        self._settings, self._options = settings_from(settings, environ)
        self._clock, self._environ, self._make = clock, environ, make
        self._drivers: Drivers | None = None
        self._account = ""
        self._seen: set[str] = set()  # nodes that were there; another one may be lag
        self._missed: dict[str, float] = {}  # when a node that was never seen was first looked for
        known = self._settings
        self._marks = Marks(known.adopted_by, Path(known.state_dir) / "libcloud")
        what = f"{known.driver}: {_NOTES[known.adopted_by]}" if known.driver else "no driver is chosen under [libcloud]"
        self.capabilities = Capabilities(
            guard=Guard.LABEL_ONLY,
            settle_seconds=known.settle_seconds,
            visible_seconds=known.visible_seconds,
            visible_promised=False,
            exclusive=known.exclusive,
            poll_seconds=known.poll_seconds,
            concurrency=known.concurrency,
            rate=known.rate,
            burst=max(1, int(known.rate)),
            call_timeout=300.0,  # a driver may make several requests of up to 60 s each
            create_seconds=60.0,
            cascades=(),  # unknown: it differs between drivers
            adopts=known.adopted_by != "nothing",
            note=what,
        )

    @classmethod
    def connect(cls, name: str, clock: Clock, settings: Mapping[str, Scalar]) -> Libcloud:
        """Create a client; the registry calls this."""
        return cls(name, clock, settings, os.environ)

    def validate(self, config: ServerConfig) -> list[Diagnostic]:
        return resolve.problems(config, self._settings.adopted_by)

    async def open(self) -> None:
        known = self._settings
        if not known.driver or not known.state_dir:
            raise ProviderUnavailable(
                "libcloud has no driver: none is chosen",
                hint='Choose it in config.toml, as in [libcloud] driver = "digitalocean".',
            )
        pair = credentials(known, self._environ)
        options = {**self._options, **address(self._environ)}
        make = self._make or maker(known.driver, pair, options)
        self._account = account_of(known, options, pair[0])
        await self.aclose()
        self._drivers = Drivers(make, known.concurrency)

    async def aclose(self) -> None:
        if self._drivers is not None:
            self._drivers.close()
            self._drivers = None

    @property
    def _api(self) -> Drivers:
        if self._drivers is None:
            raise ProviderUnavailable("the provider libcloud is not open")
        return self._drivers

    # -- before anything is made --------------------------------------------------------------------------------

    async def account(self) -> str:
        """Driver, place, and the name from the settings, or one derived from the key: no driver tells the account."""
        return self._account

    async def health(self) -> ProviderHealthReport:
        began = self._clock.now()
        try:
            await self._api.run(lambda driver: driver.list_nodes())
        except Exception as error:  # drivers raise anything
            return ProviderHealthReport(False, told(error), passing=bool(unavailable(error).passing))
        return ProviderHealthReport(True, self._settings.driver, self._clock.now() - began)

    async def quota(self) -> Quota:
        return Quota()  # drivers have no common way to tell limits

    async def quota_after(self, _requests: Sequence[ServerRequest]) -> list[Diagnostic]:
        return []

    async def quote(self, _requests: Sequence[ServerRequest]) -> Quote | None:
        return None  # prices of Libcloud's tables have no currency, and some are per month

    async def resolve(self, configs: Sequence[ServerConfig]) -> list[ServerRequest | list[Diagnostic]]:
        try:
            found = await self._api.run(lambda driver: resolve.resolved(driver, configs))
        except Exception as error:
            raise unavailable(error) from error
        return [self.validate(config) or answer for config, answer in zip(configs, found, strict=True)]

    # -- create -------------------------------------------------------------------------------------------------

    async def create(self, request: ServerRequest, token: Token) -> Created | Rejected | Unknown:
        return await self._api.run(lambda driver: self._create(driver, request, token))

    def _create(self, driver: NodeDriver, request: ServerRequest, token: Token) -> Created | Rejected | Unknown:
        mark = mark_of(request, token)
        try:
            asked = self._marks.carried(mark, request.labels) | self._user_data(driver, request, token)
            asked |= resolve.things(driver, request)
        except (OSError, FolderHeld, LookupError) as error:  # nothing was sent
            return Rejected(Fault(FaultClass.PERMANENT, told(error)))
        except Exception as error:  # a lookup failed: nothing was sent either
            return Rejected(Fault(FaultClass.TRANSIENT, told(error)))
        try:
            node = driver.create_node(**asked)
        except Exception as error:
            return outcome(error)
        self._marks.answered(mark, str(node.id))
        return Created(str(node.id))

    def _user_data(self, driver: NodeDriver, request: ServerRequest, token: Token) -> dict[str, str]:
        """The server's host key and all keys that may log in, if the driver can pass them on."""
        argument = user_data_argument(driver)
        if not argument:
            return {}
        host = generated_ssh_keys.key_in(generated_ssh_keys.host_folder(self._state, token.run, token.value))
        who = [generated_ssh_keys.login_key(self._state, token.run, request), *request.ssh_keys]
        boundary = f"batchwright-{token.value}"
        return {argument: combined(request.user_data, who, host.path.read_text(), host.public, boundary)}

    @property
    def _state(self) -> Path:
        return Path(self._settings.state_dir)

    # -- look ---------------------------------------------------------------------------------------------------

    async def _nodes(self) -> list[tuple[Node, Mark]]:
        """Batchwright's nodes, from a complete listing. Raises ProviderUnavailable."""
        try:
            every = await self._api.run(lambda driver: driver.list_nodes())
            listed = await self._api.run(lambda _: [(node, mark) for node in every if (mark := self._marks.read(node))])
        except Exception as error:
            raise unavailable(error) from error
        if len({node.id for node in every}) < len(every):  # the order changed between pages
            raise ProviderUnavailable("libcloud: the listing contains a server twice", hint="Try again in a moment.")
        self._seen.update(str(node.id) for node, _ in listed)
        return listed

    async def find(self, run: str | None = None, token: str | None = None) -> list[Observed]:
        found = [_observed(node, mark, self._marks.labels(node)) for node, mark in await self._nodes()]
        return [
            one for one in found if one.state is not ServerState.GONE and is_wanted((one.run, one.token), run, token)
        ]

    async def describe(self, refs: Sequence[str]) -> dict[str, Observed]:
        nodes = await self._nodes() if refs else []
        known = {str(node.id): _observed(node, mark, self._marks.labels(node)) for node, mark in nodes}
        seen = {ref: known.get(ref) or Observed(ref, self._absent(ref)) for ref in refs}
        told = partial(generated_ssh_keys.host_keys, self._state)
        return await asyncio.to_thread(lambda: {ref: replace(one, host_keys=told(one)) for ref, one in seen.items()})

    def _absent(self, ref: str) -> ServerState:
        """Gone if it was seen before, or if it was looked for during the whole settle time and never seen."""
        since = self._missed.setdefault(ref, self._clock.now())
        gone = ref in self._seen or self._clock.now() - since >= self._settings.settle_seconds
        return ServerState.GONE if gone else ServerState.NOT_VISIBLE

    async def access(self, refs: Sequence[str]) -> dict[str, SshAccess]:
        seen = await self.describe(refs)
        return await self._api.run(
            lambda _: {ref: self._way(one) for ref, one in seen.items() if one.address and one.token}
        )

    def _way(self, server: Observed) -> SshAccess:
        key = generated_ssh_keys.run_key_file(self._state, server.run)
        return SshAccess(server.address, self._settings.user, key=str(key), host_keys=server.host_keys)

    # -- destroy ------------------------------------------------------------------------------------------------

    async def destroy(self, ref: str) -> Gone | Going | Rejected | Unknown:
        found = [node for node, _ in await self._nodes() if str(node.id) == ref]
        if not found and self._absent(ref) is not ServerState.GONE:
            return Going("it is not listed, or not yet")
        if not found or _STATES.get(found[0].state) is ServerState.GONE:
            await self._api.run(lambda _: self._marks.forget(ref))
            return Gone()
        if (first := await self._api.run(lambda driver: _part(driver, found[0]))) is not None:
            return first
        try:
            done = await self._api.run(lambda driver: driver.destroy_node(found[0]))
        except Exception as error:
            if any(str(node.id) == ref for node, _ in await self._nodes()):
                return outcome(error)
            return Going("it is no longer listed")  # another process was faster, or the answer was lost
        return Going("it is being deleted") if done else Unknown("the driver reports that it did not destroy it")

    async def attached(self, refs: Sequence[str]) -> list[Attached]:
        nodes = [node for node, _ in await self._nodes() if str(node.id) in refs]
        try:
            found = await self._api.run(
                lambda driver: [(n, v) for n in nodes for v in attached_volumes.attached(driver, n)]
            )
        except Exception as error:
            raise unavailable(error) from error
        return [Attached(str(node.id), _words(volume)) for node, volume in found]


def _words(volume: StorageVolume) -> str:
    return f'volume {volume.id} "{volume.name}"'


def _part(driver: NodeDriver, node: Node) -> Going | Rejected | Unknown | None:
    """Detach foreign volumes, since it is unknown what a driver's destroy also removes. None if there are none."""
    try:
        found = attached_volumes.attached(driver, node)
    except Exception as error:
        return Unknown(told(error))
    for volume in found:
        try:
            driver.detach_volume(volume)
        except Exception as error:
            why = f"it cannot be detached: {told(error)}"
            return refuse_attached([Attached(str(node.id), _words(volume), why)])
    return Going("its volumes are being detached") if found else None


def _observed(node: Node, mark: Mark, labels: dict[str, str] | None) -> Observed:
    address = next(iter([*node.public_ips, *node.private_ips]), "") or ""
    state = _STATES.get(node.state, ServerState.STARTING)
    if state is ServerState.READY and not address:
        state = ServerState.STARTING
    broken = state is ServerState.BROKEN
    fault = Fault(FaultClass.TRANSIENT, f"the cloud reports the state {node.state}") if broken else None
    place: dict[str, Any] = {"plan": mark.plan, "zone": mark.zone, "image": mark.image, "labels": labels}
    return Observed(str(node.id), state, mark.name, mark.run, mark.token, str(address), **place, fault=fault)
