"""The local provider: the provider port over sandboxes on this machine. Blocking work runs in a thread, to its end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from batchwright.durable_files import FolderHeld
from batchwright.errors import ProviderUnavailable, UsageError
from batchwright.model.call_outcome import Created, Going, Gone, Observed, Rejected, ServerState, Unknown
from batchwright.model.clock import Clock
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.ids import Token
from batchwright.model.plan import Guard, ServerFacts
from batchwright.model.scalar import Scalar
from batchwright.model.ssh_access import SshAccess
from batchwright.model.update_behavior import ChangeWay, FieldWay
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Capabilities, ProviderHealthReport, Quota, Quote
from batchwright.providers.local import base_tree, config_checks, server_changes, sizes
from batchwright.providers.local.base_tree_contents import Release, offered
from batchwright.providers.local.host_support import NONE, HostSupport, this_machine
from batchwright.providers.local.records import SYSTEM, Damaged
from batchwright.providers.local.server_lifecycle import LocalServers
from batchwright.providers.lookup import is_wanted

T = TypeVar("T")

NO_BOUNDARY = "Kept apart for convenience, not for security."
AT_ONCE = max(4, 2 * (os.cpu_count() or 1))  # creates and destroys at once; booting a server needs a processor


class Local:
    """The servers of one state folder on this machine."""

    def __init__(
        self, name: str, clock: Clock, state_dir: Path, machine: HostSupport, bases: Mapping[Release, Path]
    ) -> None:
        self.name = name
        self.machine = machine
        system = machine.mode == SYSTEM
        self.capabilities = Capabilities(
            guard=Guard.TOKEN,
            settle_seconds=0.0,  # a create has either written its intent or never will
            visible_seconds=0.0,  # one folder under one lock
            poll_seconds=0.25,
            concurrency=AT_ONCE,
            call_timeout=120.0,
            create_seconds=2.0,
            init=system,
            privileged=system,
            own_network=machine.own_network,
            free=True,
            resizes=ChangeWay.LIVE,
            relabels=ChangeWay.LIVE,
            note=f"{machine.why}. {machine.hint or NO_BOUNDARY}",
        )
        self._bases = {release.image: (release, place) for release, place in bases.items()}
        folder = next((place.parent for place in bases.values()), Path("/nonexistent"))
        self._lot = LocalServers(state_dir, folder, clock, machine)

    @classmethod
    def connect(cls, name: str, clock: Clock, settings: Mapping[str, Scalar]) -> Local:
        """Create a client; the registry calls this. The setting "state_dir" is the folder of the servers."""
        unknown = sorted(settings.keys() - {"state_dir"})
        if unknown:
            raise UsageError(f"local: there is no setting {unknown[0]}", hint="See docs/providers/local.md.")
        state_dir = Path(str(settings.get("state_dir", "")) or "/nonexistent")
        machine = this_machine()
        if machine.mode == NONE:
            return cls(name, clock, state_dir, machine, {})
        known = offered(base_tree.this_release())
        return cls(name, clock, state_dir, machine, {one: base_tree.place(os.environ, one) for one in known})

    def validate(self, config: ServerConfig) -> list[Diagnostic]:
        return config_checks.problems(config, list(self._bases), self.capabilities.own_network)

    async def open(self) -> None:
        if self.machine.mode == NONE:
            raise ProviderUnavailable(
                f"local cannot create servers on this machine: {self.machine.why}", hint=self.machine.hint
            )
        await self._carried_out(self._lot.open)

    async def aclose(self) -> None:
        """Nothing to close: servers keep running."""

    async def account(self) -> str:
        return await self._carried_out(self._lot.account)

    async def health(self) -> ProviderHealthReport:
        return ProviderHealthReport(True, self.machine.why)

    async def quota(self) -> Quota:
        return Quota()

    async def quota_after(self, requests: Sequence[ServerRequest]) -> list[Diagnostic]:
        return await self._carried_out(lambda: self._lot.room_for(len(requests)))

    async def quote(self, _requests: Sequence[ServerRequest]) -> Quote | None:
        return None

    async def resolve(self, configs: Sequence[ServerConfig]) -> list[ServerRequest | list[Diagnostic]]:
        return [self.validate(config) or self._no_base(config) or self._request(config) for config in configs]

    def _image(self, config: ServerConfig) -> str:
        return config.image or next(iter(self._bases), "")

    def _no_base(self, config: ServerConfig) -> list[Diagnostic]:
        image = self._image(config)
        if image in self._bases and self._bases[image][1].is_dir():
            return []
        is_own = image == next(iter(self._bases), "")
        message = "local has no base tree for its servers yet" if is_own else f"local has no base tree of {image} yet"
        hint = f"Build it once with: batchwright local base build{'' if is_own else f' --image {image}'}"
        return [Diagnostic("base-tree-missing", message, f"{hint} (about a minute)")]

    def _request(self, config: ServerConfig) -> ServerRequest:
        size = sizes.size_of(config.plan)
        assert size is not None
        network = config.network or "shared"
        release, place = self._bases[self._image(config)]
        facts = ServerFacts(size.memory_mb, size.cpus, network == "own", release.distribution, release.version)
        resolved = {
            "base": place.name,
            "network": network,
            "cpus": str(size.cpus),
            "memory_mb": str(size.memory_mb),
        }
        return ServerRequest.of(config, release.image, resolved, facts)

    async def create(self, request: ServerRequest, token: Token) -> Created | Rejected | Unknown:
        if sizes.size_of(request.plan) is None:
            return Rejected(Fault(FaultClass.INVALID, f'local has no plan "{request.plan}"'))
        return await self._carried_out(lambda: self._lot.create(request, token))

    async def find(self, run: str | None = None, token: str | None = None) -> list[Observed]:
        intents = await self._carried_out(self._lot.intents)
        wanted = [intent for intent in intents if is_wanted((intent.run, intent.token), run, token)]
        seen = await self.describe([intent.ref for intent in wanted])
        return [one for one in seen.values() if one.state is not ServerState.GONE]

    async def describe(self, refs: Sequence[str]) -> dict[str, Observed]:
        looks = await self._carried_out(lambda: [self._lot.look(ref) for ref in refs])
        seen = await asyncio.gather(*(self._lot.answer(look) for look in looks))
        return {one.ref: one for one in seen}

    async def access(self, refs: Sequence[str]) -> dict[str, SshAccess]:
        return await self._carried_out(lambda: self._lot.access(refs))

    async def destroy(self, ref: str) -> Gone | Going | Rejected | Unknown:
        return await self._carried_out(lambda: self._lot.destroy(ref))

    def ways(self, _observed: Observed, _request: ServerRequest) -> Mapping[str, FieldWay]:
        return server_changes.WAYS

    async def change(
        self, ref: str, request: ServerRequest, before: ServerRequest
    ) -> Created | Going | Rejected | Unknown:
        answer = await self._carried_out(lambda: self._lot.change(ref, request, before))
        if answer is not None:
            return answer
        seen = (await self.describe([ref]))[ref]
        return Created(ref, seen.state is ServerState.READY, seen.address)

    # Beyond the port: these servers survive a reboot of the machine, so they can be stopped and started

    async def start(self, ref: str) -> None:
        """Start a server that does not run, with its data. Raises NotAllowed, ProviderUnavailable."""
        await self._carried_out(lambda: self._lot.start(ref))

    async def stop(self, ref: str) -> None:
        """Stop a server and keep its data. Raises NotAllowed, ProviderUnavailable."""
        await self._carried_out(lambda: self._lot.stop(ref))

    async def _carried_out(self, work: Callable[[], T]) -> T:
        """Run work in a thread. If cancelled, wait for the thread first, so that nothing happens later.

        Raises ProviderUnavailable for files that cannot be read or written.
        """
        task = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            while not task.done():
                try:
                    await asyncio.wait([task])
                except asyncio.CancelledError:
                    continue
            raise
        except (OSError, Damaged, FolderHeld) as error:
            raise ProviderUnavailable(f"local: {error}", hint="Check the state folder and its disk.") from error
