"""Limits of an account, shared by two runs of one process, in virtual time: what is refused, and what is used."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec.structs import replace

from batchwright.engine.limits import Lane, Limits
from batchwright.engine.loop import Driver
from batchwright.journal.memory import MemoryJournal
from batchwright.model import events as ev
from batchwright.model.call_outcome import Rejected
from batchwright.model.fault import FaultClass
from batchwright.model.ids import Token
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import Guard, Plan, ProviderFacts
from batchwright.model.run import Run
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Provider
from batchwright.providers.simulated import Simulated, Simulation, World
from batchwright.testing.virtual_clock import VirtualClock, run_virtual
from bench.noop import plan_of

WARM_UP = 30.0  # seconds that learning may take
PLACES = 40  # of the run: enough for both accounts, or they share places and not only time
CALM = {"answer_seconds": 0.2, "boot_seconds": 1.0, "read_seconds": 0.0, "spread": 0.3}


class Counted:
    """A provider that remembers when its creates were sent, and which of them were refused as too many."""

    def __init__(self, inner: Simulated, clock: VirtualClock) -> None:
        self._inner, self._clock = inner, clock
        self.name, self.capabilities = inner.name, inner.capabilities
        self.find, self.describe, self.destroy = inner.find, inner.describe, inner.destroy
        self.sent: list[tuple[float, bool]] = []

    async def create(self, request: ServerRequest, token: Token) -> Any:
        at = self._clock.now()
        outcome = await self._inner.create(request, token)
        refused = isinstance(outcome, Rejected) and outcome.fault.kind is FaultClass.THROTTLE
        self.sent.append((at, refused))
        return outcome


async def _drive(
    run_id: str,
    plan: Plan,
    providers: dict[str, Provider],
    limits: Limits,
    clock: VirtualClock,
    journal: MemoryJournal | None = None,
) -> Run:
    journal = journal or MemoryJournal()
    created = ev.RunCreated(clock.now(), run_id, plan)
    await journal.create(created, Run(created).summary("memory"))
    lease = await journal.acquire(run_id, "bench:1:1", clock.now())
    run = await Driver(journal, lease, Run(created), providers, {}, limits, clock).drive()
    await journal.release(lease)
    assert run.status is RunState.COMPLETED, run.reason
    return run


async def _two_runs(rate: float, stated: float, servers: int) -> tuple[float, float]:
    clock, limits = VirtualClock(), Limits()
    cloud = Simulated("bench", World(), clock, Simulation.from_settings({"rate": rate, "burst": 5, **CALM}))
    provider = Counted(cloud, clock)
    limits.add("bench", Lane(16, stated, 5))
    began, plan = clock.now(), plan_of(servers, 16)
    providers: dict[str, Provider] = {"bench": provider}  # type: ignore[dict-item]
    await asyncio.gather(*(_drive(name, plan, providers, limits, clock) for name in ("one", "two")))
    last = max(at for at, _ in provider.sent)
    late = [refused for at, refused in provider.sent if at > began + WARM_UP]
    return sum(late) / len(late), (len(late) - sum(late)) / (last - began - WARM_UP) / rate


def two_runs(rate: float = 5.0, stated: float = 0.0, servers: int = 750) -> tuple[float, float]:
    """After the warm-up: the share of creates that was refused, and of the account's limit that was used.

    `stated` is the rate that the provider's capabilities tell, 0 for none.
    """
    return run_virtual(_two_runs(rate, stated, servers))


async def _beside(rate: float, servers: int) -> float:
    """Seconds until the last server of a free account stands, beside an account of so small a rate in the same run."""
    clock, limits = VirtualClock(), Limits()
    names = ("free", "slow") if rate else ("free",)
    providers: dict[str, Provider] = {}
    steps: list[Any] = []
    operations: list[Any] = []
    for name in names:
        limited = {"rate": rate, "burst": 5} if name == "slow" else {}
        providers[name] = Simulated(name, World(), clock, Simulation.from_settings({**limited, **CALM}))
        limits.add(name, Lane(16))
        part = plan_of(servers, 16)
        operations += [replace(op, id=name, provider=name, lane=name) for op in part.operations]
        steps += [replace(step, id=f"{name}/{step.id}", operation=name, provider=name) for step in part.steps]
    facts = tuple(ProviderFacts(name, f"simulated-{name}", Guard.LABEL_ONLY, 0.0) for name in names)
    plan = replace(plan_of(1, PLACES), operations=tuple(operations), steps=tuple(steps), providers=facts)
    run = await _drive("run", plan, providers, limits, clock)
    ends = [record.ended_at for step, record in zip(plan.steps, run.records, strict=True) if step.operation == "free"]
    return float(max(ends)) - run.created_at


def beside(rate: float, servers: int = 200) -> float:
    """How much longer a free account takes beside a throttled one: 1.0 for not at all."""
    return run_virtual(_beside(rate, servers)) / run_virtual(_beside(0.0, servers))


async def _beside_rollback(destroy_rate: float, servers: int) -> float:
    """Seconds that a run takes, beside the rollback of another one in the same account, which allows few destroys."""
    clock, limits = VirtualClock(), Limits()
    slow = Simulation.from_settings({"destroy_rate": destroy_rate, "burst": 5, **CALM})
    providers: dict[str, Provider] = {"bench": Simulated("bench", World(), clock, slow)}
    limits.add("bench", Lane(16))
    journal, plan = MemoryJournal(), plan_of(servers, 8)
    rollback: asyncio.Task[Run] | None = None
    if destroy_rate:
        done = await _drive("old", plan, providers, limits, clock, journal)
        lease = await journal.acquire("old", "bench:2:1", clock.now())
        driver = Driver(journal, lease, done, providers, {}, limits, clock)
        rollback = asyncio.create_task(driver.drive(lambda machine, now: machine.rollback(now, "bench")))
    run = await _drive("new", plan, providers, limits, clock)
    took = clock.now() - run.created_at
    if rollback is not None:
        assert not rollback.done(), "there was nothing beside it"
        assert (await rollback).status is RunState.ROLLED_BACK
    return took


def beside_rollback(destroy_rate: float, servers: int = 200) -> float:
    """How much longer creates take beside throttled destroys of the same account: 1.0 for not at all."""
    return run_virtual(_beside_rollback(destroy_rate, servers)) / run_virtual(_beside_rollback(0.0, servers))


def main() -> None:
    """The tables."""
    print("| limit/s | stated/s | refused after 30 s | of the limit used |")
    print("|--|--|--|--|")
    for stated in (0.0, 2.5, 5.0, 10.0):
        refused, used = two_runs(5.0, stated)
        print(f"| 5 | {stated or 'not'} | {refused:.2%} | {used:.1%} |")
    print()
    print("| the account beside it | a free account takes longer by |")
    print("|--|--|")
    for rate in (1.0, 5.0):
        print(f"| {rate:g}/s | {beside(rate) - 1:.1%} |")
    print()
    print("| destroys of the same account | creates take longer by |")
    print("|--|--|")
    for rate in (1.0, 5.0):
        print(f"| {rate:g}/s | {beside_rollback(rate) - 1:.1%} |")


if __name__ == "__main__":
    main()
