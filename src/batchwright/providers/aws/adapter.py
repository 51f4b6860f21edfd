"""The provider port over EC2: one account, all its regions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from batchwright.errors import ProviderUnavailable
from batchwright.model.call_outcome import Created, Going, Gone, Observed, Rejected, ServerState, Unknown
from batchwright.model.clock import Clock
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.fault import PASSING, Fault, FaultClass
from batchwright.model.ids import Token
from batchwright.model.plan import Guard
from batchwright.model.public_key import fingerprint
from batchwright.model.scalar import Scalar
from batchwright.model.ssh_access import SshAccess
from batchwright.model.update_behavior import ChangeWay, FieldWay
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers import generated_ssh_keys
from batchwright.providers.aws import (
    config_checks,
    config_resolution,
    lookup,
    payload,
    preflight,
    prices,
    rows,
    zones,
)
from batchwright.providers.aws.client import AwsClient
from batchwright.providers.aws.faults import ERRORS, code_of, explain, outcome, unavailable
from batchwright.providers.aws.live_check import AwsLive
from batchwright.providers.aws.refs import RefKind, parse, spent
from batchwright.providers.aws.removal import Removal
from batchwright.providers.aws.server_changes import AwsChange, ways
from batchwright.providers.aws.settings import AwsSettings, settings_from
from batchwright.providers.aws.shared_resources import SharedResources
from batchwright.providers.base import Attached, Capabilities, ProviderHealthReport, Quota, Quote
from batchwright.providers.host_key_label import LABEL
from batchwright.providers.live_check import LiveCheck
from batchwright.providers.server_change import SentStops, refuse_foreign, refuse_gone

Errors = ERRORS


class Aws:
    """EC2 of the account that the credentials belong to."""

    def __init__(self, name: str, clock: Clock, settings: AwsSettings) -> None:
        self.name = name
        self.capabilities = Capabilities(
            guard=Guard.TOKEN,
            settle_seconds=settings.settle_seconds,
            visible_seconds=settings.visible_seconds,
            visible_promised=False,
            exclusive=settings.exclusive,
            poll_seconds=settings.poll_seconds,
            concurrency=settings.concurrency,
            rate=settings.rate,
            burst=settings.burst,
            destroy_rate=settings.destroy_rate,
            destroy_burst=settings.destroy_burst,
            call_timeout=3 * (settings.connect_seconds + settings.read_seconds),
            create_seconds=25.0,
            cascades=("disk", "interface", "address"),
            resizes=ChangeWay.STOPPED,
            relabels=ChangeWay.LIVE,
        )
        self._settings, self._clock = settings, clock
        self._connection = AwsClient(settings)
        self._surroundings = SharedResources(self._connection, settings.ssh_from)
        settle = settings.settle_seconds
        self._removal = Removal(self._connection, clock, settle, self._surroundings.forget)
        self._stops = SentStops(clock)
        self._account = ""
        self._regions: tuple[str, ...] = ()

    @classmethod
    def connect(cls, name: str, clock: Clock, settings: Mapping[str, Scalar]) -> Aws:
        """Create a client; the registry calls this."""
        return cls(name, clock, settings_from(settings))

    def validate(self, config: ServerConfig) -> list[Diagnostic]:
        return config_checks.problems(config, self._settings.named_regions)

    async def open(self) -> None:
        connection = self._connection
        try:
            await connection.open()
            answer = await connection.read(connection.home, "get_caller_identity", service="sts")
            self._account = answer["Account"]
            self._regions = self._settings.named_regions or await self._enabled()
        except Errors as error:
            connection.close()
            raise unavailable(error, self._clock.now()) from error

    async def _enabled(self) -> tuple[str, ...]:
        found = await self._connection.listing(self._connection.home, "describe_regions", "Regions")
        return tuple(sorted(row["RegionName"] for row in found))

    def live_check(self) -> LiveCheck:
        """The check of assumptions in a real account."""
        return AwsLive(self, self._connection, self._prepare, self._clock)

    async def aclose(self) -> None:
        self._connection.close()

    async def account(self) -> str:
        return self._account

    async def health(self) -> ProviderHealthReport:
        began = self._clock.now()
        try:
            answer = await self._connection.read(self._connection.home, "get_caller_identity", service="sts")
        except Errors as error:
            fault = explain(error, self._clock.now())
            return ProviderHealthReport(False, fault.message, passing=fault.kind in PASSING)
        return ProviderHealthReport(True, answer["Arn"], self._clock.now() - began)

    async def quota(self) -> Quota:
        try:
            return Quota(await preflight.usage(self._connection, self._regions))
        except Errors as error:
            raise unavailable(error, self._clock.now()) from error

    async def quota_after(self, requests: Sequence[ServerRequest]) -> list[Diagnostic]:
        try:
            return await preflight.problems(self._connection, requests)
        except Errors as error:
            raise unavailable(error, self._clock.now()) from error

    async def quote(self, requests: Sequence[ServerRequest]) -> Quote | None:
        try:
            return await prices.quote(self._connection, requests)
        except Errors as error:
            raise unavailable(error, self._clock.now()) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ProviderUnavailable(f"AWS's price list cannot be read: {error}", hint="Try again later.") from error

    async def resolve(self, configs: Sequence[ServerConfig]) -> list[ServerRequest | list[Diagnostic]]:
        answers: list[ServerRequest | list[Diagnostic]] = [self.validate(config) for config in configs]
        by_region: dict[str, list[int]] = {}
        for i, config in enumerate(configs):
            if not answers[i]:
                by_region.setdefault(zones.region_of(config.zone), []).append(i)
        for region in [region for region in by_region if region not in self._regions]:
            known = f"Enabled are: {', '.join(self._regions)}"
            for i in by_region.pop(region):
                answers[i] = [
                    Diagnostic("unknown-zone", f"the account has no region {region} enabled", known, field="zone")
                ]
        looks = (
            config_resolution.resolve(self._connection, region, [configs[i] for i in places])
            for region, places in by_region.items()
        )
        try:
            for places, found in zip(by_region.values(), await asyncio.gather(*looks), strict=True):
                for i, answer in zip(places, found, strict=True):
                    answers[i] = [answer] if isinstance(answer, Diagnostic) else answer
        except Errors as error:
            raise unavailable(error, self._clock.now()) from error
        return answers

    # -- making -------------------------------------------------------------------------------------------------

    async def create(self, request: ServerRequest, token: Token) -> Created | Rejected | Unknown:
        region = zones.region_of(request.zone)
        wrong = self.validate(ServerConfig(request.name, request.plan, request.zone))
        if wrong:
            return Rejected(Fault(FaultClass.INVALID, wrong[0].message, hint=wrong[0].hint))
        try:
            asked = await self._prepare(request, token)
            answer = await self._connection.change(region, "run_instances", **asked)
        except OSError as error:
            return Rejected(Fault(FaultClass.PERMANENT, f"the run's keys cannot be kept: {error}"))
        except Errors as error:
            return await self._refused(error, region, request, token)
        seen = rows.server(region, answer["Instances"][0])
        return Created(seen.ref, address=seen.address)  # a look tells whether it is ready, and its host key

    async def _prepare(self, request: ServerRequest, token: Token) -> dict[str, Any]:
        """Prepare what the server needs, and return the arguments of its create call. Raises botocore's exceptions,
        OSError.
        """
        login_key, host_key, private = await asyncio.to_thread(self._keys, request, token)
        region, vpc = zones.region_of(request.zone), request.resolved["vpc"]
        group = await self._surroundings.ready(region, vpc, token.run, login_key)
        return payload.arguments(request, token, group, private, host_key)

    async def _refused(
        self, error: BaseException, region: str, request: ServerRequest, token: Token
    ) -> Created | Rejected | Unknown:
        match code_of(error):
            case "IdempotentInstanceTerminated":
                return Created(str(spent(region, token)))
            case "IdempotentParameterMismatch":
                return await self._mismatch(error, region, request, token)
            case "InvalidGroup.NotFound" | "InvalidKeyPair.NotFound":
                self._surroundings.forget()  # removed since, or not visible everywhere yet
                fault = explain(error, self._clock.now())
                return Rejected(Fault(FaultClass.TRANSIENT, fault.message, fault.code))
        return outcome(error, self._clock.now())

    async def _mismatch(
        self, error: BaseException, region: str, request: ServerRequest, token: Token
    ) -> Created | Rejected | Unknown:
        """The outcome when EC2 knows the token with other arguments.

        If the server's tags name this step, it is this step's server (its host key may be in another state folder);
        otherwise the token was used for something else.
        """
        try:
            found = await lookup.rows_of(
                self._connection, region, RefKind.INSTANCE, [lookup.only("client-token", token.value)]
            )
        except Errors as failed:
            return Unknown(explain(failed, self._clock.now()).message)
        for row in found:
            seen = rows.server(region, row)
            same = (seen.name, seen.run, seen.token, seen.plan, seen.zone)
            if same == (request.name, token.run, token.value, request.plan, request.zone):
                return Created(seen.ref)
            if not seen.run and rows.tags_may_be_late(row, self._clock.now(), self._settings.settle_seconds):
                break
            return outcome(error, self._clock.now())
        return Unknown("the token was used for a server that is not visible yet, or not with its tags")

    # -- looking ------------------------------------------------------------------------------------------------

    async def find(self, run: str | None = None, token: str | None = None) -> list[Observed]:
        try:
            return await lookup.find(self._connection, self._regions, run, token)
        except Errors as error:
            raise unavailable(error, self._clock.now()) from error

    async def describe(self, refs: Sequence[str]) -> dict[str, Observed]:
        try:
            now, settle = self._clock.now(), self._settings.settle_seconds
            return await lookup.describe(self._connection, refs, now, settle)
        except Errors as error:
            raise unavailable(error, self._clock.now()) from error

    async def access(self, refs: Sequence[str]) -> dict[str, SshAccess]:
        try:
            found = await lookup.servers(self._connection, refs)
        except Errors as error:
            raise unavailable(error, self._clock.now()) from error
        up = [(seen, tags) for seen, tags in found if seen.state is ServerState.READY and seen.address]
        return await asyncio.to_thread(self._reached, up)

    def _reached(self, servers: Sequence[tuple[Observed, rows.Tags]]) -> dict[str, SshAccess]:
        """Each with the host key in its tags; of older servers they hold only the fingerprint of one made here."""
        reached = {}
        for seen, tags in servers:
            known = generated_ssh_keys.host_keys(self._state, seen)
            if not seen.host_keys:
                known = tuple(key for key in known if fingerprint(key) == tags.get(LABEL))
            if seen.token:
                key = str(generated_ssh_keys.run_key_file(self._state, seen.run))
                reached[seen.ref] = SshAccess(seen.address, tags.get(rows.LOGIN, ""), key=key, host_keys=known)
        return reached

    @property
    def _state(self) -> Path:
        if not self._settings.state_dir:
            raise ProviderUnavailable("aws needs a state folder to keep keys in")
        return Path(self._settings.state_dir)

    def _keys(self, request: ServerRequest, token: Token) -> tuple[str, str, str]:
        """The public key that is let in, the server's host key and its private half. They are created on first use."""
        host = generated_ssh_keys.key_in(generated_ssh_keys.host_folder(self._state, token.run, token.value))
        return generated_ssh_keys.login_key(self._state, token.run, request), host.public, host.path.read_text()

    # -- changing -----------------------------------------------------------------------------------------------

    def ways(self, observed: Observed, request: ServerRequest) -> Mapping[str, FieldWay]:
        return ways(observed, request)

    async def change(
        self, ref: str, request: ServerRequest, before: ServerRequest
    ) -> Created | Going | Rejected | Unknown:
        place, only = parse(ref), [lookup.only("instance-id", parse(ref).id)]
        if place.kind is not RefKind.INSTANCE or not place.region:
            return refuse_gone(ref)
        try:
            found = await lookup.rows_of(self._connection, place.region, RefKind.INSTANCE, only)
        except Errors as error:
            raise unavailable(error, self._clock.now()) from error
        seen = rows.server(place.region, found[0]) if found else None
        if seen is None or found[0]["State"]["Name"] in ("shutting-down", "terminated"):
            return refuse_gone(ref)
        if rows.tags_may_be_late(found[0], self._clock.now(), self._settings.settle_seconds):
            return Going("AWS does not show its tags yet")
        if not (seen.run and seen.token):
            return refuse_foreign(ref)
        change = AwsChange(self._connection, self._clock, self._stops, place, found[0], request, before)
        return await change.step() or Created(ref, seen.state is ServerState.READY, seen.address)

    # -- removing -----------------------------------------------------------------------------------------------

    async def destroy(self, ref: str) -> Gone | Going | Rejected | Unknown:
        place = parse(ref)
        if place.kind is RefKind.SPENT:
            return Gone()
        if place.kind is None or not place.region:
            return Rejected(Fault(FaultClass.INVALID, f"{ref} is not a reference to anything at AWS"))
        try:
            return await self._removal.destroy(place, place.kind)
        except Errors as error:
            return outcome(error, self._clock.now())

    async def attached(self, refs: Sequence[str]) -> list[Attached]:
        try:
            return await self._removal.attached(refs)
        except Errors as error:
            raise unavailable(error, self._clock.now()) from error
