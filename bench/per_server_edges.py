"""Servers and what is on them: the whole operation as a barrier against `per = "server"`, in virtual time.

`python -m bench.per_server_edges`: a table. The bound is what no order of the same steps could beat.
"""

from __future__ import annotations

from msgspec.structs import replace

from batchwright.engine.limits import Lane, Limits
from batchwright.engine.loop import Driver
from batchwright.journal.memory import MemoryJournal
from batchwright.model import events as ev
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import Plan
from batchwright.model.run import Run
from batchwright.model.taskserv import Taskserv
from batchwright.model.workflow import Dependency, DependencyScope
from batchwright.providers.simulated import Simulated, SimulatedRunner, Simulation, World
from batchwright.testing.plans import plan_of, servers, taskservs, workflow
from batchwright.testing.virtual_clock import VirtualClock, run_virtual

SERVERS = 200
VARIED = {"answer_seconds": 1.0, "boot_seconds": 40.0, "install_seconds": 60.0, "spread": 0.8, "read_seconds": 0.0}


def planned(scope: DependencyScope, places: int, waves: tuple[int | str, ...] | None = None) -> Plan:
    """So many servers with two task services each."""
    up = servers("up", *(f"s{n}" for n in range(SERVERS)), provider="bench", waves=waves)
    on = replace(taskservs("on", "agent", "web", provider="bench"), dependencies=(Dependency("up", per=scope),))
    catalogue = {name: Taskserv(name, "1", "", 60.0) for name in ("agent", "web")}
    return plan_of(workflow(up, on, parallel_limit=places), catalogue)


async def _makespan(plan: Plan) -> tuple[float, float]:
    clock, world, journal = VirtualClock(), World(), MemoryJournal()
    simulation = Simulation.from_settings({"seed": 7, **VARIED})
    provider, runner = Simulated("bench", world, clock, simulation), SimulatedRunner(world, clock, simulation)
    limits = Limits()
    for lane in {op.lane for op in plan.operations}:
        limits.add(lane, Lane(10_000))
    created = ev.RunCreated(clock.now(), "run", plan)
    await journal.create(created, Run(created).summary("memory"))
    lease = await journal.acquire("run", "bench:1:1", clock.now())
    run = await Driver(journal, lease, Run(created), {"bench": provider}, {"bench": runner}, limits, clock).drive()
    assert run.status is RunState.COMPLETED, run.reason
    took: dict[str, float] = {}
    for step, record in zip(plan.steps, run.records, strict=True):
        server = step.server or step.id
        took[server] = took.get(server, 0.0) + max(0.0, record.ended_at - record.started_at)
    bound = max(*took.values(), sum(took.values()) / plan.parallel_limit)
    return run.ended_at - run.created_at, bound


def main() -> None:
    print("| steps at a time | barrier, s | per server, s | bound, s | per server / barrier | per server / bound |")
    print("|--|--|--|--|--|--|")
    for places in (1000, 100, 20):
        barrier, _ = run_virtual(_makespan(planned(DependencyScope.OPERATION, places)))
        per_server, bound = run_virtual(_makespan(planned(DependencyScope.SERVER, places)))
        row = (barrier, per_server, bound)
        cells = " | ".join(f"{one:,.0f}" for one in row)
        print(f"| {places} | {cells} | {per_server / barrier:.2f} | {per_server / bound:.3f} |")


if __name__ == "__main__":
    main()
