"""The adapter: sends single requests and says what the answers mean. The engine decides what is repeated, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from batchwright import (
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
)
from batchwright_skeleton.cloud import Refused, Server, SkeletonCloud

RUN, TOKEN = "batchwright-run", "batchwright-token"  # the labels that tell whose a server is
IMAGE = "debian-12"


class SkeletonProvider:
    """One account. Everything that Batchwright asks of a provider is here."""

    capabilities = Capabilities(
        Guard.LABEL_ONLY,  # the safe answer: TOKEN and UNIQUE_NAME are promises of the cloud's API
        settle_seconds=0.05,  # of the imaginary cloud; a real one that publishes no bound: 120
        poll_seconds=0.02,
        create_seconds=0.1,
        note="imaginary: its servers are rows in a file",
    )

    def __init__(self, name: str, cloud: SkeletonCloud) -> None:
        self.name, self._cloud = name, cloud

    @classmethod
    def connect(cls, name: str, _clock: Clock, settings: Mapping[str, Scalar]) -> Self:
        """Built by Batchwright; `settings` are the table [skeleton] of config.toml, and `state_dir`."""
        return cls(name, SkeletonCloud(Path(str(settings["state_dir"]), "skeleton.json")))

    async def open(self) -> None:
        """Find credentials, connect; raise ProviderUnavailable if that fails."""

    async def aclose(self) -> None:
        """Close connections."""

    async def account(self) -> str:
        return await self._cloud.account()

    async def health(self) -> ProviderHealthReport:
        try:
            servers = await self._cloud.servers()
        except OSError as error:
            return ProviderHealthReport(False, str(error), passing=True)
        return ProviderHealthReport(True, f"{len(servers)} servers")

    async def quota(self) -> Quota:
        return Quota()

    async def quote(self, requests: Sequence[ServerRequest]) -> Quote | None:  # noqa: ARG002
        return None  # the price is not known

    async def quota_after(self, requests: Sequence[ServerRequest]) -> list[Diagnostic]:  # noqa: ARG002
        return []

    # Before a run

    def validate(self, config: ServerConfig) -> list[Diagnostic]:
        offers = {"plan": self._cloud.plans, "zone": self._cloud.zones}
        return [
            Diagnostic(
                f"{field}-unknown", f"there is no {field} {value!r}", f"There are: {', '.join(known)}", field=field
            )
            for field, known in offers.items()
            if (value := getattr(config, field)) not in known
        ]

    async def resolve(self, configs: Sequence[ServerConfig]) -> list[ServerRequest | list[Diagnostic]]:
        return [self.validate(one) or ServerRequest.of(one, one.image or IMAGE, {}) for one in configs]

    # One request each

    async def create(self, request: ServerRequest, token: Token) -> Created | Rejected | Unknown:
        labels = {**request.labels, RUN: token.run, TOKEN: token.value}
        try:
            made = await self._cloud.create(request.name, request.plan, request.zone, request.image, labels)
        except Refused as refusal:
            return Rejected(Fault(FaultClass.INVALID, str(refusal)))
        except OSError as error:  # perhaps it was sent
            return Unknown(str(error))
        return Created(made.id, ready=True, address=made.address)

    async def find(self, run: str | None = None, token: str | None = None) -> list[Observed]:
        marked = [seen(one) for one in await self._listed() if RUN in one.labels]
        return [one for one in marked if run in (None, one.run) and token in (None, one.token)]

    async def describe(self, refs: Sequence[str]) -> dict[str, Observed]:
        found = {one.id: seen(one) for one in await self._listed()} if refs else {}
        return {ref: found.get(ref, Observed(ref, ServerState.NOT_VISIBLE)) for ref in refs}

    async def access(self, refs: Sequence[str]) -> dict[str, SshAccess]:  # noqa: ARG002
        return {}  # an imaginary server lets nobody in

    async def destroy(self, ref: str) -> Gone | Going | Rejected | Unknown:
        found = [one for one in await self._listed() if one.id == ref]
        if not found:
            return Gone()
        if RUN not in found[0].labels:
            return Rejected(Fault(FaultClass.CONFLICT, f"{ref} was not created by Batchwright"))
        await self._cloud.delete(ref)
        return Going("it is being deleted")

    async def _listed(self) -> list[Server]:
        try:
            return await self._cloud.servers()
        except OSError as error:
            raise ProviderUnavailable(f"{self.name}: {error}") from error


def seen(server: Server) -> Observed:
    """A server as Batchwright sees it."""
    own = {key: value for key, value in server.labels.items() if key not in (RUN, TOKEN)}
    return Observed(
        server.id,
        ServerState.READY,
        name=server.name,
        run=server.labels.get(RUN, ""),
        token=server.labels.get(TOKEN, ""),
        address=server.address,
        plan=server.plan,
        zone=server.zone,
        image=server.image,
        labels=own,
    )
