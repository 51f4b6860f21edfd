"""The simulated provider: the provider port over a World, under any provider's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from batchwright.errors import ProviderUnavailable
from batchwright.fault_injection.draw import Draw, lognormal
from batchwright.fault_injection.fault_names import CALL_FAULTS, CREATE_FAULTS, READ_FAULTS, SERVER_FAULTS
from batchwright.fault_injection.rate_limit import RateLimit
from batchwright.model.call_outcome import Created, Going, Gone, Observed, Rejected, ServerState, Unknown
from batchwright.model.clock import Clock
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.fault import FaultClass
from batchwright.model.ids import Token
from batchwright.model.plan import Guard
from batchwright.model.scalar import Scalar
from batchwright.model.ssh_access import SshAccess
from batchwright.model.update_behavior import ChangeWay, FieldWay
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Capabilities, ProviderHealthReport, Quota, Quote
from batchwright.providers.server_change import refuse_foreign, refuse_gone
from batchwright.providers.simulated.catalog import Profile, profile_of
from batchwright.providers.simulated.draws import NO_ANSWER, Draws, fault, refusal
from batchwright.providers.simulated.server_changes import ServerChanges
from batchwright.providers.simulated.settings import Simulation
from batchwright.providers.simulated.world import World
from batchwright.providers.simulated.world_records import SimulatedCall, SimulatedServer


class Simulated:
    """One account of a simulated place. Any number of them, in any number of processes, may share a world.

    `capabilities` are those of the place it stands in for; None: what its simulation makes of it.
    """

    def __init__(
        self,
        name: str,
        world: World,
        clock: Clock,
        simulation: Simulation | None = None,
        capabilities: Capabilities | None = None,
    ) -> None:
        self.name = name
        self.simulation = sim = simulation or Simulation()
        self._world, self._clock, self._owns_world = world, clock, False
        self._account = f"simulated-{name}"
        self._profile = profile_of(name)
        self.capabilities = capabilities or _capabilities(sim, self._profile)
        self._rate = RateLimit(sim.rate, sim.burst)
        self._destroy_rate = RateLimit(sim.destroy_rate, sim.burst) if sim.destroy_rate else self._rate
        self._read_seconds = sim.scaled(sim.read_seconds)
        self._limited = bool(sim.quota_servers or sim.capacity)
        creates, answer = (*CREATE_FAULTS, *SERVER_FAULTS), sim.answer_seconds
        destroys = sim.script("fail_destroy")
        self._creates = Draws(sim, "create", creates, sim.create_script(), answer, timed=sim.boot_seconds > 0)
        self._destroys = Draws(sim, "destroy", CALL_FAULTS, destroys, answer, timed=sim.destroy_seconds > 0)
        self._reads = Draws(sim, "read", READ_FAULTS)

    @classmethod
    def connect(cls, name: str, clock: Clock, settings: Mapping[str, Scalar]) -> Simulated:
        """How the registry makes one. The setting "world" is the path of a durable world; without it, in memory."""
        rest = {key: value for key, value in settings.items() if key != "state_dir"}  # which every adapter is given
        path = rest.pop("world", None)
        simulation = Simulation.from_settings(rest, name)
        provider = cls(name, World(Path(str(path)) if path else None), clock, simulation)
        provider._owns_world = True
        return provider

    def validate(self, config: ServerConfig) -> list[Diagnostic]:
        return self._profile.problems(config)

    async def open(self) -> None:
        """Nothing to connect to."""

    async def aclose(self) -> None:
        if self._owns_world:  # else it belongs to whoever passed it in
            self._world.close()

    async def account(self) -> str:
        return self._account

    async def health(self) -> ProviderHealthReport:
        if self.simulation.auth:
            return ProviderHealthReport(False, fault(FaultClass.AUTH).message)
        return ProviderHealthReport(True, "simulated", self._read_seconds)

    async def quota(self) -> Quota:
        await self._read("quota", "")
        limit = self.simulation.quota_servers
        return Quota({"servers": (len(self._alive(self._clock.now())), limit)} if limit else {})

    async def quota_after(self, requests: Sequence[ServerRequest]) -> list[Diagnostic]:
        await self._read("quota", "")
        alive = self._alive(self._clock.now())
        problems = []
        limit = self.simulation.quota_servers
        if limit and len(alive) + len(requests) > limit:
            most = f"{limit} server{'' if limit == 1 else 's'}"
            message = f"the account {self._account} may have {most}: {len(alive)} exist, {len(requests)} more"
            problems.append(Diagnostic("quota", message, "Ask for fewer servers, or raise the limit."))
        room = self.simulation.capacity
        for zone in dict.fromkeys(request.zone for request in requests) if room else ():
            used = sum(server.request.zone == zone for server in alive)
            more = sum(request.zone == zone for request in requests)
            if used + more > room:
                most = f"{room} server{'' if room == 1 else 's'}"
                message = f"the zone {zone} has room for {most}: {used} exist, {more} more are needed"
                problems.append(Diagnostic("capacity", message, "Use another zone for some of them.", field="zone"))
        return problems

    async def quote(self, requests: Sequence[ServerRequest]) -> Quote | None:
        prices = [self._profile.price(request.plan) for request in requests]
        known = [price for price in prices if price is not None]
        if len(known) < len(prices):
            return None
        return Quote(round(sum(known), 6), self._profile.currency)

    async def resolve(self, configs: Sequence[ServerConfig]) -> list[ServerRequest | list[Diagnostic]]:
        return [self.validate(config) or self._request(config) for config in configs]

    def _request(self, config: ServerConfig) -> ServerRequest:
        image = config.image or self._profile.default_image
        return ServerRequest.of(config, image, {"image_id": self._profile.image_id(image)})

    async def create(self, request: ServerRequest, token: Token) -> Created | Rejected | Unknown:
        with self._world.turn:  # what the cloud decides, it decides when the request arrives
            answer, seconds = self._create(request, token)
        if seconds > 0:
            await self._clock.sleep(seconds)
        return answer

    def _create(self, request: ServerRequest, token: Token) -> tuple[Created | Rejected | Unknown, float]:
        now = self._heard("create", request.name)
        if (turned_away := self._turned_away(now, self._rate)) is not None:
            return turned_away, 0.0
        name = request.name
        drawn, seconds = self._creates.next(self._world, self.name, name, f"{token.run}/{name}", (name,))
        if (kind := refusal(drawn)) is not None:
            return self._rejected(kind), seconds
        if not drawn.acts:
            return Unknown(NO_ANSWER), seconds
        if not self._profile.offers(request.plan, request.zone):
            return self._rejected(FaultClass.INVALID, f"no plan {request.plan} in {request.zone}"), seconds
        if (repeated := self._repeated(now, request, token)) is not None:
            return repeated, seconds
        if self._limited and (full := self._full(now, request)) is not None:
            return full, seconds
        server = self._made(now, request, token, drawn, seconds)
        if drawn.fault:
            return Unknown(NO_ANSWER), seconds
        if server.true_state(now + seconds) is ServerState.READY:
            return Created(server.ref, ready=True, address=server.address), seconds
        return Created(server.ref), seconds

    def _made(self, now: float, request: ServerRequest, token: Token, drawn: Draw, seconds: float) -> SimulatedServer:
        sim, committed = self.simulation, now + drawn.late
        boot = lognormal(sim.scaled(sim.boot_seconds), sim.spread, f"{drawn.seed}/boot")
        serial = self._world.next_serial()
        server = SimulatedServer(
            ref=f"{self.name}-{serial:06d}",
            provider=self.name,
            account=self._account,
            run=token.run,
            token=token.value,
            request=request,
            address=_address(serial),
            committed_at=committed,
            visible_at=committed + sim.scaled(sim.list_lag),
            ready_at=None if "never_ready" in drawn.server else committed + seconds + boot,
            broken="broken" in drawn.server,
        )
        self._world.add(server)
        return server

    def _repeated(self, now: float, request: ServerRequest, token: Token) -> Created | Rejected | Unknown | None:
        """The answer of the duplicate protection to a repeated create; None if it is new."""
        if self.capabilities.guard is Guard.TOKEN:
            for server in self._world.labelled(self._account, None, token.value):
                if server.request != request:
                    return self._rejected(FaultClass.CONFLICT, "the token was used with another request")
                if server.gone_at is not None:
                    return self._rejected(FaultClass.CONFLICT, "the token's server was destroyed")
                if now < server.committed_at:
                    return Unknown("simulated: an earlier call with this token has not ended yet")
                return Created(server.ref)
        named = self.capabilities.guard is Guard.UNIQUE_NAME
        if named and any(server.name == request.name for server in self._alive(now)):
            return self._rejected(FaultClass.CONFLICT, f"a server called {request.name} exists")
        return None

    def _full(self, now: float, request: ServerRequest) -> Rejected | None:
        alive, sim = self._alive(now), self.simulation
        if sim.quota_servers and len(alive) >= sim.quota_servers:
            return self._rejected(FaultClass.QUOTA)
        if sim.capacity and sum(server.request.zone == request.zone for server in alive) >= sim.capacity:
            return self._rejected(FaultClass.CAPACITY, f"the zone {request.zone} has no room")
        return None

    async def find(self, run: str | None = None, token: str | None = None) -> list[Observed]:
        await self._read("find", token or run or "")
        now = self._clock.now()
        seen = (server.observed(now) for server in self._world.labelled(self._account, run, token))
        return [o for o in seen if o.state not in (ServerState.GONE, ServerState.NOT_VISIBLE)]

    async def describe(self, refs: Sequence[str]) -> dict[str, Observed]:
        await self._read("describe", refs[0] if refs else "")
        now = self._clock.now()
        answers = {}
        for ref in refs:
            server = self._own(ref)
            answers[ref] = server.observed(now) if server else Observed(ref, ServerState.NOT_VISIBLE)
        return answers

    async def destroy(self, ref: str) -> Gone | Going | Rejected | Unknown:
        with self._world.turn:
            answer, seconds = self._destroy(ref)
        if seconds > 0:
            await self._clock.sleep(seconds)
        return answer

    def _destroy(self, ref: str) -> tuple[Gone | Going | Rejected | Unknown, float]:
        now = self._heard("destroy", ref)
        if (turned_away := self._turned_away(now, self._destroy_rate)) is not None:
            return turned_away, 0.0
        server = self._own(ref)
        if server is None or server.state(now) is ServerState.GONE:
            return Gone(), 0.0
        drawn, seconds = self._destroys.next(self._world, self.name, server.name, ref, (server.name,))
        if (kind := refusal(drawn)) is not None:
            return self._rejected(kind), seconds
        if not drawn.acts:
            return Unknown(NO_ANSWER), seconds
        if server.gone_at is None:
            sim = self.simulation
            takes = lognormal(sim.scaled(sim.destroy_seconds), sim.spread, f"{drawn.seed}/gone")
            self._world.destroy(ref, now, max(now, server.committed_at) + takes)
        if drawn.fault:
            return Unknown(NO_ANSWER), seconds
        gone = server.gone_at is not None and server.gone_at <= now
        return (Gone() if gone else Going("simulated: it is shutting down")), seconds

    @cached_property
    def _changes(self) -> ServerChanges:
        return ServerChanges(self.name, self._world, self.simulation, self._profile)

    def ways(self, observed: Observed, request: ServerRequest) -> Mapping[str, FieldWay]:
        return self._changes.ways(observed, request)

    async def change(
        self, ref: str, request: ServerRequest, before: ServerRequest
    ) -> Created | Going | Rejected | Unknown:
        with self._world.turn:
            answer, seconds = self._change(ref, request, before)
        if seconds > 0:
            await self._clock.sleep(seconds)
        return answer

    def _change(
        self, ref: str, request: ServerRequest, before: ServerRequest
    ) -> tuple[Created | Going | Rejected | Unknown, float]:
        now = self._heard("change", ref)
        if (turned_away := self._turned_away(now, self._rate)) is not None:
            return turned_away, 0.0
        server = self._own(ref)
        if server is None or server.destroy_requested_at is not None or not server.exists(now):
            return refuse_gone(ref), 0.0
        if not (server.run and server.token and self._profile.destroys):
            return refuse_foreign(ref), 0.0
        return self._changes.step(now, server, request, before)

    async def access(self, _refs: Sequence[str]) -> dict[str, SshAccess]:
        """Nobody logs in to a simulated server."""
        return {}

    async def _read(self, method: str, about: str) -> None:
        """The common part of every read; the world is up to date when it returns. Raises ProviderUnavailable."""
        self._heard(method, about)
        if self.simulation.auth:
            raise ProviderUnavailable(
                f"{self._account}: {fault(FaultClass.AUTH).message}",
                hint="A setting asked for it.",
                passing=False,
            )
        lost = False
        if not self._reads.uneventful:
            with self._world.turn:
                drawn, _ = self._reads.next(self._world, self.name, about, f"{method}/{about}", (about,))
            lost = bool(drawn.fault)
        if self._read_seconds > 0:
            await self._clock.sleep(self._read_seconds)
        if lost:
            raise ProviderUnavailable(f"{self._account}: {method} was not answered", hint="Try again.", passing=True)
        self._world.refresh()

    def _heard(self, method: str, about: str) -> float:
        now = self._clock.now()
        if self._world.calls is not None:
            self._world.calls.append(SimulatedCall(now, self.name, method, about))
        return now

    def _turned_away(self, now: float, rate: RateLimit) -> Rejected | None:
        if self.simulation.auth:
            return self._rejected(FaultClass.AUTH)
        wait = rate.wait(now)
        return Rejected(fault(FaultClass.THROTTLE, retry_after=wait)) if wait else None

    def _rejected(self, kind: FaultClass, message: str = "") -> Rejected:
        return Rejected(fault(kind, message, self.simulation.pause(kind)))

    def _own(self, ref: str) -> SimulatedServer | None:
        server = self._world.server(ref)
        return server if server is not None and server.account == self._account else None

    def _alive(self, now: float) -> list[SimulatedServer]:
        return [s for s in self._world.in_account(self._account) if s.gone_at is None or now < s.gone_at]


def _capabilities(sim: Simulation, profile: Profile) -> Capabilities:
    usual = (sim.answer_seconds + sim.boot_seconds) * sim.time_scale
    return Capabilities(
        guard=sim.guard,
        settle_seconds=sim.settle_seconds(),
        visible_seconds=sim.scaled(sim.list_lag),
        poll_seconds=min(1.0, max(0.05, usual / 6)),
        concurrency=sim.concurrency,
        rate=sim.rate if sim.publish_rate else 0.0,
        burst=sim.burst if sim.publish_rate else 1,
        destroy_rate=(sim.destroy_rate or None) if sim.publish_rate else None,
        create_seconds=usual,
        resizes=sim.resizes if profile.destroys else ChangeWay.REPLACE,
        relabels=ChangeWay.LIVE if profile.destroys else ChangeWay.REPLACE,
        destroys=profile.destroys,
        free=profile.free,
    )


def _address(serial: int) -> str:
    """An address that is not routed: from the ranges for benchmarks and, when those are used up, documentation."""
    if serial < 1 << 17:
        return f"198.{18 + (serial >> 16)}.{serial >> 8 & 255}.{serial & 255}"
    return f"2001:db8::{serial >> 16:x}:{serial & 65535:x}"
