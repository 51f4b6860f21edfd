"""Two or three stores that use one account and want a server of the same name, each lived through several processes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from batchwright.model import events as ev
from batchwright.model.call_outcome import Created, Observed, Rejected, Unknown
from batchwright.model.ids import Token
from batchwright.model.lifecycle import RunState
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Provider
from batchwright.providers.simulated import SimulatedServer, Simulation, World
from batchwright.rehearsal.crash_restart_run import LONG_AFTER, PROCESSES_MAX, ProcessJournal
from batchwright.testing.crash_points import CrashPoint, When
from batchwright.testing.virtual_clock import run_virtual
from tests.crash.lives import Lives
from tests.crash.scenarios import Scenario, Settings, installs, plan, servers

NAME, STEP, PROVIDER = "web", "up/web", "upcloud"
RUNS = ("aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc")


class Contender(Struct, frozen=True):
    """One store's run: when it begins, how long each create is held up after the look, and where its processes die.

    `away`: seconds before the next process goes on; None: after the first death nobody ever does. `unsteady`: for so
    many seconds after it is visible, a server is in some listings and not in others. `resumes`: seconds after its end
    after which a user resumes it.
    """

    start: float = 0.0
    pause: float = 0.0
    deaths: tuple[CrashPoint, ...] = ()
    away: float | None = 1.0
    unsteady: float = 0.0
    resumes: float | None = None
    rollback: bool = False
    settings: Settings = {}


class AdverseProvider:
    """Holds each create up, as a process that is not given the processor does, and lists new servers now and then."""

    def __init__(self, inner: Provider, lives: Contending) -> None:
        self._inner, self._lives = inner, lives
        self._chance = random.Random(f"{lives.run}/{lives.count}")

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    async def create(self, request: ServerRequest, token: Token) -> Created | Rejected | Unknown:
        await self._lives.clock.sleep(self._lives.contender.pause)
        return await self._inner.create(request, token)

    async def find(self, run: str | None = None, token: str | None = None) -> list[Observed]:
        began = self._lives.clock.now()
        return [one for one in await self._inner.find(run, token) if self._listed(one.ref, began)]

    def _listed(self, ref: str, began: float) -> bool:
        server = self._lives.world.server(ref)
        assert server is not None
        return began >= server.visible_at + self._lives.contender.unsteady or self._chance.random() < 0.5


class Contending(Lives):
    """The lives of one contender."""

    def __init__(self, contender: Contender, scenario: Scenario, run: str, world: World) -> None:
        settings = {**scenario.settings, **contender.settings}
        super().__init__(replace(scenario, settings=settings, rollback=contender.rollback), run, world)
        self.contender = contender
        self.points: list[CrashPoint] = []
        self.ended = False

    def provider(self, name: str, simulation: Simulation) -> Provider:
        return AdverseProvider(super().provider(name, simulation), self)  # type: ignore[return-value]

    async def all(self) -> None:
        """Every process of this store."""
        await self.clock.sleep(self.contender.start)
        for n in range(PROCESSES_MAX):
            point = self.contender.deaths[n] if n < len(self.contender.deaths) else CrashPoint()
            self.points.append(point)
            if await self.process(point):
                self.ended = True
                return await self._resume()
            if self.contender.away is None:
                return None
            await self.clock.sleep(self.contender.away)
        raise AssertionError("it did not end")

    async def _resume(self) -> None:
        if self.contender.resumes is not None:
            await self.clock.sleep(self.contender.resumes)
            point = CrashPoint()
            journal = ProcessJournal(self.journal, point, self.count + 1)
            await self.drive(journal, point, lambda machine, now: machine.reopen(now, "user"))


class Use(Struct, frozen=True):
    """A server that was put to use: by which run, from when until it was destroyed, and its installs' starts."""

    server: SimulatedServer
    since: float
    until: float


class Contest:
    """What became of it."""

    def __init__(self, all_of: Sequence[Contending], histories: Sequence[Sequence[ev.AnyEvent]]) -> None:
        self.lives, self.histories = all_of, histories
        self.world = all_of[0].world
        self.uses = [
            Use(server, event.at, float("inf") if server.destroy_requested_at is None else server.destroy_requested_at)
            for history in histories
            for event in history
            if isinstance(event, ev.StepSucceeded) and (server := self.world.server(event.ref)) is not None
        ]
        self.failures = [event for history in histories for event in history if isinstance(event, ev.StepFailed)]
        self.standing = [server for server in self.world.servers() if server.name == NAME]
        self.created = [server for server in self.world.in_account(f"simulated-{PROVIDER}") if server.name == NAME]

    def check(self) -> None:
        """I4: nothing is installed on a server that is not clear. I5: two clear ones never stand together. I6: what is
        clear is not destroyed, since nobody rolls back here.
        """
        used = {use.server.ref for use in self.uses}
        assert {ref for ref, what in self.world.installed().items() if what} <= used, "I4"
        for server in self.created:
            assert not self.world.installed_on(server.ref) or server.ref in used, "I4"
        for i, one in enumerate(self.uses):
            for other in self.uses[i + 1 :]:
                apart = one.until <= other.since or other.until <= one.since
                assert apart or one.server.ref == other.server.ref, f"I5: {one.server.ref} and {other.server.ref}"
        assert all(use.until == float("inf") for use in self.uses), "I6"
        for lives, history in zip(self.lives, self.histories, strict=True):
            if lives.ended:
                self._check_end(history)

    def _check_end(self, history: Sequence[ev.AnyEvent]) -> None:
        """A run that ended has its server, or failed since another has it and left nothing."""
        assert isinstance(history[0], ev.RunCreated)
        assert isinstance(history[-1], ev.RunEnded)
        made = [server for server in self.standing if server.run == history[0].run]
        if any(isinstance(event, ev.StepSucceeded) and event.step == STEP for event in history):
            assert len(made) == 1
            return
        assert not made
        failed = next(event for event in history if isinstance(event, ev.StepFailed))
        assert failed.fault.code == "server-exists", failed
        assert failed.stale is (failed.twin is not None)


def contested(settings: Settings) -> Scenario:
    """One server and something installed on it."""
    web = servers("up", PROVIDER, NAME)
    wanted = plan(settings, web, installs("svc", PROVIDER, web[1], "redis", after=("up",)))
    return Scenario("contested", wanted, settings, RunState.COMPLETED)


def contest(settings: Settings, contenders: Sequence[Contender], share_of_lag: float = 1.0) -> Contest:
    """Let them contend. The plans know this share of the time after which a server is certainly listed."""
    scenario, unsteady = contested(settings), max(one.unsteady for one in contenders)
    (known,) = scenario.plan.providers
    lag, settle = known.visible_seconds + unsteady, known.settle_seconds + 2 * unsteady
    facts = replace(known, visible_seconds=lag * share_of_lag, settle_seconds=settle)
    scenario = replace(scenario, plan=replace(scenario.plan, providers=(facts,)))

    async def main() -> Contest:
        world = World(None)
        all_of = [Contending(one, scenario, run, world) for one, run in zip(contenders, RUNS, strict=False)]
        await asyncio.gather(*(lives.all() for lives in all_of))
        await all_of[0].clock.sleep(LONG_AFTER)
        histories = []
        for lives in all_of:
            begun = lives.run in await lives.journal.runs()
            histories.append([event for _, event in await lives.journal.read(lives.run)] if begun else [])
        return Contest(all_of, histories)

    return run_virtual(main())


def random_contest(seed: int, deaths: bool) -> tuple[Settings, list[Contender]]:
    """Contenders that begin close together, with lost answers, late commits and lag, and where they may die."""
    chance = random.Random(seed)
    settings: Settings = {
        "seed": seed,
        "list_lag": chance.choice([0.5, 2.0, 5.0]),
        "lost_answers": chance.choice([0, 0.3]),
        "late_commits": chance.choice([0, 0.3]),
        "late_max": chance.choice([3.0, 8.0]),
        "boot_seconds": chance.choice([0.0, 1.5, 8.0]),
        "read_errors": chance.choice([0, 0.1]),
        "guard": chance.choice(["label_only", "token"]),
        "spread": chance.choice([0, 0.3]),
    }
    whens = list(When)
    return settings, [
        Contender(
            start=chance.uniform(0, 8),
            pause=chance.choice([0, 0, 0.5, chance.uniform(0, 25)]),
            deaths=tuple(
                CrashPoint(chance.randint(1, 40), chance.choice(whens)) for _ in range(chance.randint(0, 2) * deaths)
            ),
            away=chance.choice([0.1, 5.0, chance.uniform(0, 60), None]),
            unsteady=chance.choice([0.0, 3.0]),
        )
        for _ in range(chance.choice([2, 2, 3]))
    ]
