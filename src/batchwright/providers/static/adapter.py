"""The static provider: the provider port over servers that exist already. It only creates and removes records."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from batchwright.errors import ProviderUnavailable
from batchwright.model.call_outcome import Created, Gone, Observed, Rejected, ServerState
from batchwright.model.clock import Clock
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.ids import Token
from batchwright.model.plan import Guard, ServerFacts
from batchwright.model.scalar import Scalar
from batchwright.model.ssh_access import SshAccess
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Capabilities, ProviderHealthReport, Quota, Quote
from batchwright.providers.lookup import is_wanted
from batchwright.providers.static.records import Records, ServerClaim
from batchwright.providers.static.server_options import access_of, missing
from batchwright.providers.static.ssh_probe import Facts, look
from batchwright.user_home import with_own_home

Place = tuple[str, ...]

LOOKS = 50  # servers logged in to at the same time
THROUGH_ONE = 8  # of them by the same first hop: sshd drops logins at random from the tenth on (MaxStartups)

_CAPABILITIES = Capabilities(
    guard=Guard.TOKEN,  # the record keeps it
    settle_seconds=0.0,
    visible_seconds=0.0,  # one folder under one lock
    concurrency=LOOKS,
    call_timeout=120.0,  # a look at all servers, of which some may not answer
    create_seconds=1.0,
    destroys=False,
    free=True,
)


class Static:
    """The servers that the runs of one state folder use. Other state folders do not know them."""

    capabilities = _CAPABILITIES

    def __init__(self, name: str, folder: Path | None) -> None:
        self.name = name
        self._folder = folder
        self._looks = asyncio.Semaphore(LOOKS)
        self._gates: dict[str, asyncio.Semaphore] = {}

    @classmethod
    def connect(cls, name: str, _clock: Clock, settings: Mapping[str, Scalar]) -> Static:
        """How the registry makes one. "state_dir" is where the records are kept."""
        state = settings.get("state_dir")
        return cls(name, Path(str(state)) / "static" if state else None)

    @property
    def _records(self) -> Records:
        if self._folder is None:
            raise ProviderUnavailable("static: no state folder is given", hint="Name one with --state-dir.")
        return Records(self._folder)

    def validate(self, config: ServerConfig) -> list[Diagnostic]:
        return missing(config)

    async def open(self) -> None:
        self._records.open()

    async def aclose(self) -> None:
        """Nothing to close: no connection stays open."""

    async def account(self) -> str:
        return self._records.account()

    async def health(self) -> ProviderHealthReport:
        return ProviderHealthReport(True, f"records in {self._records.folder}")

    async def quota(self) -> Quota:
        return Quota()

    async def quota_after(self, _requests: Sequence[ServerRequest]) -> list[Diagnostic]:
        return []

    async def quote(self, _requests: Sequence[ServerRequest]) -> Quote | None:
        return None

    async def resolve(self, configs: Sequence[ServerConfig]) -> list[ServerRequest | list[Diagnostic]]:
        """Each server is logged in to, so that what is wrong with one is known before anything is changed."""
        records, places = self._records.all(), dict[Place, str]()
        answers = []
        for config in configs:
            access = access_of(config)
            if isinstance(access, SshAccess):
                access = _twice(config.name, access, places) or _taken(config.name, access, records) or access
            answers.append(self._resolve(config, access))
        return list(await asyncio.gather(*answers))

    async def _resolve(
        self, config: ServerConfig, access: SshAccess | list[Diagnostic]
    ) -> ServerRequest | list[Diagnostic]:
        if not isinstance(access, SshAccess):
            return access
        found = await self._look(access)
        if isinstance(found, Fault):
            return [Diagnostic(found.code, found.message, found.hint, field="address")]
        facts = ServerFacts(found.memory_mb)
        return ServerRequest(config.name, config.plan, config.zone, labels=config.labels, access=access, facts=facts)

    async def _look(self, access: SshAccess) -> Facts | Fault:
        gate = self._gates.setdefault(_place(access)[-1], asyncio.Semaphore(THROUGH_ONE))
        async with gate, self._looks:
            return await look(with_own_home(access))

    async def create(self, request: ServerRequest, token: Token) -> Created | Rejected:
        """Log in once more, then record whose the server is: one rename, so there is nothing to be in doubt about."""
        access = request.access
        assert access is not None, "resolve gives it"
        wanted = ServerClaim(_ref(token), token.run, token.value, request, access)
        if (recorded := self._records.get(wanted.ref)) is None:
            found = await self._look(access)
            if isinstance(found, Fault):  # of this server, which is no reason to leave the others alone
                kind = FaultClass.INVALID if found.kind is FaultClass.AUTH else found.kind
                return Rejected(replace(found, kind=kind))
            with self._records.alone():
                if (rival := _rival(wanted, self._records.all())) is not None:
                    message = f'run {rival.run} has taken {access} as "{rival.request.name}"'
                    return Rejected(Fault(FaultClass.CONFLICT, message, "server-taken", _let_go(rival)))
                self._records.put(wanted)
        elif recorded != wanted:
            return Rejected(Fault(FaultClass.CONFLICT, "the token was used with another request"))
        return Created(wanted.ref, ready=True, address=access.host)

    async def find(self, run: str | None = None, token: str | None = None) -> list[Observed]:
        return [
            _observed(record, ServerState.READY)
            for record in self._records.all()
            if is_wanted((record.run, record.token), run, token)
        ]

    async def describe(self, refs: Sequence[str]) -> dict[str, Observed]:
        """Whether each lets us in now; one that does not answer may yet, one that is not who it was will not."""
        return dict(zip(refs, await asyncio.gather(*map(self._describe, refs)), strict=True))

    async def _describe(self, ref: str) -> Observed:
        record = self._records.get(ref)
        if record is None:
            return Observed(ref, ServerState.GONE)
        found = await self._look(record.access)
        if isinstance(found, Facts):
            return _observed(record, ServerState.READY)
        state = ServerState.STARTING if found.kind is FaultClass.TRANSIENT else ServerState.BROKEN
        return _observed(record, state, found)

    async def access(self, refs: Sequence[str]) -> dict[str, SshAccess]:
        found = {ref: self._records.get(ref) for ref in refs}
        return {ref: with_own_home(record.access) for ref, record in found.items() if record is not None}

    async def destroy(self, ref: str) -> Gone:
        """Release the server: nothing on it is touched."""
        self._records.remove(ref)
        return Gone()


def _place(access: SshAccess) -> Place:
    """What makes it another server: where it is, and what lies between."""
    return tuple(f"{hop.host} {hop.port}" for hop in access.hops())


def _ref(token: Token) -> str:
    """The reference. Another run that takes the same server has another one, so neither can release the other's."""
    return f"static-{token.value[:16]}"


def _observed(record: ServerClaim, state: ServerState, fault: Fault | None = None) -> Observed:
    request = record.request
    return Observed(
        ref=record.ref,
        state=state,
        name=request.name,
        run=record.run,
        token=record.token,
        address=record.access.host,
        plan=request.plan,
        zone=request.zone,
        fault=fault,
    )


def _rival(wanted: ServerClaim, records: Sequence[ServerClaim]) -> ServerClaim | None:
    """Another record of this server or of this name: somebody was quicker."""
    for record in records:
        same = record.request.name == wanted.request.name or _place(record.access) == _place(wanted.access)
        if same and record.ref != wanted.ref:
            return record
    return None


def _twice(name: str, access: SshAccess, places: dict[Place, str]) -> list[Diagnostic]:
    """Whether this workflow has named the server before, as something else."""
    first = places.setdefault(_place(access), name)
    if first == name:
        return []
    message = f'"{name}" and "{first}" are the same server: {access}'
    return [Diagnostic("server-twice", message, "Name it once.", field="address")]


def _taken(name: str, access: SshAccess, records: Sequence[ServerClaim]) -> list[Diagnostic]:
    """Why the server cannot be taken, or kept, under this name."""
    for record in records:
        if record.request.name != name:
            if _place(record.access) != _place(access):
                continue
            message = f'{access} cannot be "{name}": run {record.run} has taken it as "{record.request.name}"'
        elif field := _differing(record.access, access):
            message = f'run {record.run} has taken "{name}" at {record.access}, and its {field} differs'
        else:
            continue
        return [Diagnostic("server-taken", message, _let_go(record), field="address")]
    return []


def _let_go(record: ServerClaim) -> str:
    return f"Roll that run back, or release the server: batchwright servers destroy {record.ref}"


def _differing(recorded: SshAccess, wanted: SshAccess) -> str:
    """The first field in which they differ. Of several host keys one in common is enough."""
    if _place(recorded) != _place(wanted):
        return "address"
    for ours, theirs in zip(with_own_home(recorded).hops(), with_own_home(wanted).hops(), strict=True):
        for field in ("user", "key"):
            if getattr(ours, field) != getattr(theirs, field):
                return field
        if not set(ours.host_keys) & set(theirs.host_keys):
            return "host_key"
    return ""
