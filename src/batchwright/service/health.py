"""How the service is: its stores, its event loop, the providers in use, and runs that do not move."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from msgspec import Struct

from batchwright import __version__
from batchwright.app.active_run import ActiveRun
from batchwright.errors import BatchwrightError
from batchwright.model.run import Run
from batchwright.providers.base import Provider
from batchwright.service.run_supervisor import RunSupervisor
from batchwright.service.security_summary import SecuritySummary
from batchwright.views.steps import step_line
from batchwright.views.text_format import duration, one_line

LAG_SECONDS, LAGS_KEPT = 0.25, 40  # how often the loop's lag is measured, and how many of them count
PROBE_SECONDS = 30.0  # between two looks at the providers in use and at the stores
PROBE_LIMIT = 15.0  # for one provider's answer
STILL_SECONDS = 120.0  # without an event, while something is in flight, before a run is flagged
LAG_BAD = 1.0


class StoreHealth(Struct, frozen=True):
    """One store: how long a look into it took."""

    name: str
    ok: bool
    latency_seconds: float
    message: str = ""


class ProviderHealth(Struct, frozen=True):
    """One provider that a run uses now, as it was at `at`. `quota` is used and limit per resource."""

    name: str
    account: str
    ok: bool
    message: str
    latency_seconds: float
    at: float
    quota: dict[str, tuple[float, float]] = {}


class StalledRun(Struct, frozen=True):
    """An unfinished run that does not move, and why as far as it is known."""

    run: str
    workflow: str
    seconds: float
    reason: str


class ServiceHealth(Struct, frozen=True):
    """The whole service. `status` is `ok`, `degraded` (it works, something needs a look) or `stopping`; `state` tells
    one state folder from another; `access` who may do what.
    """

    status: str
    version: str
    state: str
    uptime: float
    event_loop_lag_seconds: float
    driven: int
    undriven: int
    readers: int
    stores: tuple[StoreHealth, ...]
    providers: tuple[ProviderHealth, ...]
    still: tuple[StalledRun, ...]
    access: SecuritySummary = SecuritySummary()


class HealthMonitor:
    """Monitors the health of one supervisor in the background. `rights` gives the permissions there."""

    def __init__(self, supervisor: RunSupervisor) -> None:
        self.rights: Callable[[], SecuritySummary] = SecuritySummary
        self._supervisor = supervisor
        self._began = supervisor.clock.now()
        self._lags: deque[float] = deque([0.0], maxlen=LAGS_KEPT)
        self._stores: tuple[StoreHealth, ...] = ()
        self._providers: dict[tuple[str, str], ProviderHealth] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> HealthMonitor:
        await self._look_at_stores()
        self._tasks = [asyncio.create_task(self._measure_lag()), asyncio.create_task(self._probe())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _measure_lag(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(LAG_SECONDS)
            self._lags.append(max(0.0, time.monotonic() - began - LAG_SECONDS))

    @property
    def lag(self) -> float:
        """The worst lag of the event loop in the last seconds."""
        return max(self._lags)

    async def _probe(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(PROBE_SECONDS)

    async def look(self) -> None:
        """Check the stores, and every provider that a run uses now."""
        await self._look_at_stores()
        in_use: dict[tuple[str, str], Provider] = {}
        for driven in self._supervisor.driven.values():
            if driven.driver is not None:
                accounts = {facts.name: facts.account for facts in driven.driver.run.plan.providers}
                in_use |= {(name, accounts.get(name, "")): p for name, p in driven.driver.providers.items()}
        seen = await asyncio.gather(*(self._ask(*key, provider) for key, provider in in_use.items()))
        self._providers = {(one.name, one.account): one for one in seen}

    async def _ask(self, name: str, account: str, provider: Provider) -> ProviderHealth:
        at, began = self._supervisor.clock.now(), time.monotonic()
        quota: dict[str, tuple[float, float]] = {}
        try:
            async with asyncio.timeout(PROBE_LIMIT):
                health = await provider.health()
                took = time.monotonic() - began
                if health.ok:
                    quota = (await provider.quota()).usage
        except TimeoutError:
            return ProviderHealth(name, account, False, f"no answer within {PROBE_LIMIT:g} s", PROBE_LIMIT, at)
        except Exception as error:  # whatever an adapter raises, it is the provider that is not well
            message = one_line(f"{type(error).__name__}: {error}")
            return ProviderHealth(name, account, False, message, time.monotonic() - began, at)
        return ProviderHealth(name, account, health.ok, health.message, health.latency_seconds or took, at, quota)

    async def _look_at_stores(self) -> None:
        seen = []
        stores = self._supervisor.stores
        for name in stores.existing_names():
            began = time.monotonic()
            try:
                await (await stores.get(name)).summaries()
            except BatchwrightError as error:
                seen.append(StoreHealth(name, False, time.monotonic() - began, error.message))
            else:
                seen.append(StoreHealth(name, True, time.monotonic() - began))
        self._stores = tuple(seen)

    def _still(self) -> tuple[StalledRun, ...]:
        now = self._supervisor.clock.now()
        found = [one for driven in self._supervisor.driven.values() if (one := still(driven, now))]
        for run_id, trouble in self._supervisor.troubles.items():
            if run_id not in self._supervisor.driven:
                found.append(StalledRun(run_id, "", 0.0, f"no process drives it: {trouble}"))
        return tuple(found)

    def health(self) -> ServiceHealth:
        """The current health; stores and providers as of the last check."""
        supervisor = self._supervisor
        in_use = {name for one in supervisor.driven.values() if one.driver for name in one.driver.providers}
        providers = tuple(one for one in self._providers.values() if one.name in in_use)
        flagged = self._still()
        answer = all(one.ok for one in self._stores) and all(one.ok for one in providers)
        well = answer and not flagged and self.lag < LAG_BAD
        return ServiceHealth(
            status="stopping" if supervisor.stopping else "ok" if well else "degraded",
            version=__version__,
            state=supervisor.settings.identity(),
            uptime=max(0.0, supervisor.clock.now() - self._began),
            event_loop_lag_seconds=self.lag,
            driven=len(supervisor.driven),
            undriven=len(supervisor.undriven.keys() - supervisor.expected.keys()),
            readers=supervisor.feeds.readers,
            stores=self._stores,
            providers=providers,
            still=flagged,
            access=self.rights(),
        )

    @property
    def ready(self) -> bool:
        """Whether the service accepts work: it is not stopping and its stores answer."""
        return not self._supervisor.stopping and all(one.ok for one in self._stores)


def still(driven: ActiveRun, now: float) -> StalledRun | None:
    """Set when something of the run is in flight and nothing has happened for long."""
    run, seconds = driven.run, now - driven.moved_at
    if run is None or seconds < STILL_SECONDS or not run.in_flight:
        return None
    return StalledRun(run.id, run.plan.workflow, seconds, _why(run, now))


def _why(run: Run, now: float) -> str:
    oldest = min(run.in_flight, key=lambda i: run.records[i].attempt_at)
    line = step_line(run, oldest, now)
    more = f", and {len(run.in_flight) - 1} more in flight" if len(run.in_flight) > 1 else ""
    return f"{line.step}: {line.doing} for {duration(line.since or 0.0)}{more}"
