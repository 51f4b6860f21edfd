"""The servers of all runs that exist now, as their providers list them, and how to log in to each."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchwright import durable_files
from batchwright.app import unwritable_store_copy
from batchwright.app.adapters import Adapters, SharedWorld
from batchwright.app.multi_store import Stores
from batchwright.app.recorded_servers import RecordedServer, RecordedServers
from batchwright.app.run_reader import all_runs
from batchwright.app.settings import Settings
from batchwright.engine.limits import Limits
from batchwright.engine.read_retry import SOON_SECONDS
from batchwright.engine.server_convergence import ServerConvergence
from batchwright.errors import BatchwrightError, NotAllowed, ServerNotFound, StoreError, UsageError
from batchwright.journal.store_folder import make_private
from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.clock import Clock
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.fault import PASSING, Fault
from batchwright.model.lifecycle import RUN_ENDED, RunState
from batchwright.model.openssh_command import is_plain, known_hosts, ssh_command, with_command
from batchwright.model.public_key import fingerprint
from batchwright.model.run_summary import RunSummary
from batchwright.model.scalar import SimulationSettings
from batchwright.model.ssh_access import ServerLogin, SshAccess
from batchwright.providers import registry
from batchwright.providers.base import Provider

DESTROY_SECONDS, DESTROY_PAUSE = 30.0, 0.5  # for refusals that pass; the pause is doubled each time
HERE = ("local", "static")  # providers of this machine, which keep what they made in a folder of their name


class ListedServer(Struct, frozen=True):
    """A server that carries Batchwright's labels. `workflow` and `status` are those of its run, empty if not known.

    `ssh` is the command line that logs in without a question, empty if no login is possible; then `no_login` says why.
    `access` says how SSH reaches it, and `known_hosts` is the file with the host keys that are trusted. `stays`: a
    destroy only releases the server. `environment`, `operation` and
    `taskservs` are what runs recorded of it, empty if none of this store did.
    """

    name: str
    provider: str
    ref: str
    state: ServerState
    zone: str
    plan: str
    address: str
    run: str
    workflow: str = ""
    status: RunState | None = None
    driven: bool = False
    stays: bool = False
    ssh: str = ""
    no_login: str = ""
    access: SshAccess | None = None
    known_hosts: str = ""
    environment: str = ""
    operation: str = ""
    taskservs: tuple[str, ...] = ()

    @property
    def owner(self) -> str:
        """Its run and the run's status, in words."""
        return f"{self.workflow}, {self.status}" if self.status is not None else "unknown run"

    def refuse_in_use(self) -> None:
        """Raise NotAllowed for a server of a run that has not ended."""
        if self.status is None or (self.status in RUN_ENDED and not self.driven):
            return
        raise NotAllowed(
            f"{self.name} ({self.ref}) belongs to run {self.run}, which is {self.status}"
            + (" and being driven" if self.driven else ""),
            hint=f"Undo the whole run: batchwright rollback {self.run}. To destroy only this server, add --anyway.",
        )

    def login(self, command: Sequence[str]) -> list[str]:
        """The argument list that logs in and runs the command. Raises NotAllowed if no login is possible.

        One word is a line for the server's shell, as with ssh; several are passed unchanged, as with kubectl exec.
        """
        if not self.ssh:
            raise NotAllowed(f"{self.name} ({self.ref}) cannot be reached over SSH: {self.no_login}")
        words = list(command[1:] if command[:1] == ["--"] else command)
        return with_command(shlex.split(self.ssh), words[0] if len(words) == 1 else words)


class ProviderDiagnostic(Diagnostic, frozen=True):
    """Why a provider could not be queried, so a short list is not taken for a complete one. In JSON: `provider`."""

    where: str = msgspec.field(default="", name="provider")


class FoundServers(Struct, frozen=True):
    """All servers that were found, and the providers that could not be queried."""

    servers: tuple[ListedServer, ...]
    troubles: tuple[ProviderDiagnostic, ...]

    def of_environment(self, name: str) -> FoundServers:
        """Only those that runs of this environment created."""
        return replace(self, servers=tuple(one for one in self.servers if one.environment == name))

    def named(self, word: str) -> ListedServer:
        """The server of this name or reference. Raises ServerNotFound, UsageError."""
        matching = [one for one in self.servers if word in (one.name, one.ref)]
        if len(matching) > 1:
            refs = ", ".join(f"{one.ref} ({one.provider}, run {one.run})" for one in matching)
            raise UsageError(f"{len(matching)} servers are called {word!r}", hint=f"Use a reference instead: {refs}")
        if not matching:
            left_out = "".join(f"; {trouble.where} could not be queried" for trouble in self.troubles)
            rest = [one for one in self.servers if word in one.name.split()]
            hint = f"Of one of that name this is left: {rest[0].ref} ({rest[0].name})" if rest else None
            raise ServerNotFound(f"there is no server {word!r}{left_out}", hint=hint)
        return matching[0]


class Servers:
    """All servers of the providers in use here. A context manager; call `look` first."""

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        clock: Clock,
        simulation: SimulationSettings | None = None,
        world: SharedWorld | None = None,
    ) -> None:
        self.troubles: list[ProviderDiagnostic] = []
        self.found: list[ListedServer] = []
        self._settings = settings
        self._stores = stores
        self._clock = clock
        self._simulated = simulation is not None
        self._recorded: dict[str, RecordedServers] = {}
        self._around = Adapters(settings, clock, Limits(), simulation, world)

    async def __aenter__(self) -> Servers:
        await self._around.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._around.__aexit__(None, None, None)

    async def look(self, only: str = "", *, partial: bool = True) -> None:
        """Fill `found` and `troubles`; `only` names one provider, and then raises if that cannot be opened.

        Without `partial` every store must be readable.
        """
        summaries, driven = await all_runs(self._stores, self._clock, partial=partial)
        names = [only] if only else self._places(summaries)
        await self._around.open(names)
        if only in self._around.troubles:
            raise self._around.troubles[only]
        for name, error in self._around.troubles.items():
            self.troubles.append(ProviderDiagnostic.of_error(error, name))
        runs = {row.run: row for row in summaries}
        for store in sorted({row.store for row in summaries}):
            with contextlib.suppress(StoreError):  # told by the stores
                self._recorded[store] = RecordedServers(await self._stores.get(store))
        providers = self._around.readers
        listed = await asyncio.gather(
            *(self._ask(name, provider, runs, driven) for name, provider in providers.items())
        )
        self.found = sorted((one for some in listed for one in some), key=lambda one: (one.provider, one.name, one.ref))

    def _places(self, summaries: Sequence[RunSummary]) -> list[str]:
        """The providers that runs of this folder used, and those that made something on this machine."""
        used = {name for row in summaries if row.simulated is self._simulated for name in row.providers}
        if not self._simulated:
            used |= {name for name in HERE if (self._settings.state_dir / name).exists()}
        return sorted(used)

    async def _ask(
        self, name: str, provider: Provider, runs: dict[str, RunSummary], driven: set[str]
    ) -> list[ListedServer]:
        try:
            async with asyncio.timeout(provider.capabilities.call_timeout + SOON_SECONDS):
                refs = [observed.ref for observed in await provider.find()]
                seen = list((await provider.describe(refs)).values()) if refs else []
                told = await provider.access(refs) if refs else {}
        except BatchwrightError as error:
            self.troubles.append(ProviderDiagnostic.of_error(error, name))
            return []
        except Exception as error:
            message = f"{name} could not be queried: {type(error).__name__}: {error}".removesuffix(": ")
            self.troubles.append(
                ProviderDiagnostic("provider-unreachable", message, "Try again in a moment.", where=name)
            )
            return []
        recorded = await self._records(name, seen, runs)
        logins = {ref: recorded[ref].login if ref in recorded else ServerLogin() for ref in told}
        access = {ref: logins[ref].applied_to(way, self._around.key_file) for ref, way in told.items()}
        trusted = known_hosts(one for one in access.values() if is_plain(one))
        if access and not _written(self._trusted(name), trusted):
            access = {}
        missing = await self._around.logins.missing(login.key for login in logins.values())
        return [
            replace(
                self._standing(name, provider, one, runs.get(one.run), driven),
                **self._recorded_fields(name, access.get(one.ref), recorded.get(one.ref), missing),
            )
            for one in seen
            if one.state not in (ServerState.GONE, ServerState.NOT_VISIBLE)
        ]

    async def _records(
        self, provider: str, seen: Sequence[Observed], runs: Mapping[str, RunSummary]
    ) -> dict[str, RecordedServer]:
        """What the stores know of these servers, by reference."""
        found: dict[str, RecordedServer] = {}
        for store, recorded in self._recorded.items():
            own = [one for one in seen if one.run not in runs or runs[one.run].store == store]
            with contextlib.suppress(StoreError):  # told by the stores
                found |= await recorded.of(provider, own)
        return found

    def _standing(
        self, name: str, provider: Provider, seen: Observed, run: RunSummary | None, driven: set[str]
    ) -> ListedServer:
        return ListedServer(
            name=seen.name,
            provider=name,
            ref=seen.ref,
            state=seen.state,
            zone=seen.zone,
            plan=seen.plan,
            address=seen.address,
            run=seen.run,
            workflow=f"{run.workflow} {run.version}" if run else "",
            status=run.status if run else None,
            driven=seen.run in driven,
            stays=not provider.capabilities.destroys,
        )

    def _recorded_fields(
        self, provider: str, access: SshAccess | None, recorded: RecordedServer | None, missing: Collection[str]
    ) -> dict[str, Any]:
        key = recorded.login.key if recorded is not None else ""
        no_login = _no_login(access, key if key in missing else "")
        fields: dict[str, Any] = {
            "ssh": shlex.join(ssh_command(access, str(self._trusted(provider)))) if access and not no_login else "",
            "no_login": no_login,
            "access": access,
            "known_hosts": str(self._trusted(provider)) if access and not no_login else "",
        }
        if recorded is not None:
            fields |= {name: getattr(recorded, name) for name in ("environment", "operation", "taskservs")}
        return fields

    def _trusted(self, provider: str) -> Path:
        return self._settings.state_dir / "known_hosts" / provider

    def result(self) -> FoundServers:
        """The servers and troubles that `look` found."""
        return FoundServers(tuple(self.found), tuple(self.troubles))

    async def destroy(self, server: ListedServer) -> Fault | None:
        """Destroy a server until it is gone, as its run's rollback would. None once it is gone."""

        async def hold() -> None:
            """Nothing to wait for: no other process has to agree."""

        provider = self._around.providers[server.provider]
        calls = ServerConvergence(
            provider,
            server.ref,
            lambda seen: seen.run == server.run,
            self._clock,
            self._around.looks,
            hold,
            lambda _: None,
        )
        until, pause = self._clock.monotonic() + DESTROY_SECONDS, DESTROY_PAUSE
        while (fault := await calls.destroy()) is not None and fault.kind in PASSING:
            # a server that is half removed is of no use, and nobody else goes on with it: do not give up soon
            if self._clock.monotonic() + pause > until:
                break
            await self._clock.sleep(pause)
            pause *= 2
        return fault


def _no_login(access: SshAccess | None, missing: str) -> str:
    """Why no login is possible; "" if one is. `missing` is the public key that is let in and not here."""
    if access is None:
        return "its provider does not say how"
    if not is_plain(access):
        return "its provider tells a host or a user that is no plain word"
    if not access.host_keys:
        return "its host key is only known in the state folder in which it was created; run its file there once"
    if missing:
        told = f"it lets in the key {fingerprint(missing)}, which is not here"
        return f"{told}; name its file in config.toml ([ssh] identity), or add it to your SSH agent (ssh-add FILE)"
    if access.key and not Path(access.key).exists():
        return f"it lets in the key of its run, {access.key}, which is in the state folder in which it was created"
    return ""


async def find_servers(
    settings: Settings,
    stores: Stores,
    clock: Clock,
    provider: str,
    simulation: SimulationSettings | None = None,
    world: SharedWorld | None = None,
) -> FoundServers:
    """All servers, or those of one provider.

    Raises UsageError for an unknown provider, and ProviderUnavailable if the named one cannot be opened.
    """
    if provider and provider not in registry.names():
        raise UsageError(f"there is no provider {provider!r} here", hint=f"There are: {', '.join(registry.names())}.")
    async with Servers(settings, stores, clock, simulation, world) as servers:
        await servers.look(provider)
        return servers.result()


def _written(path: Path, text: str) -> bool:
    """Replace a file as a whole, so that an ssh that is just starting reads either the old file or the new one.

    False if the state folder cannot be written and the file has other content: then no login is possible.
    """
    if unwritable_store_copy.is_read_only(path.parents[1]):
        return path.is_file() and path.read_text() == text
    make_private(path.parent)
    with durable_files.alone(path.parent):
        durable_files.write(path, text.encode())
    return True
