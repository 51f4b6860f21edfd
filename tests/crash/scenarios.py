"""Reference workflows for the crash exploration: small, and between them every kind of trouble."""

from __future__ import annotations

from msgspec import Struct

from batchwright.model.actions import Action, Undo
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import Guard, Need, Plan, PlannedOperation, Step
from batchwright.model.scalar import Scalar
from batchwright.model.workflow import Dependency, DependencyKind, OnFailure, Retry
from batchwright.operations.command import CommandRequest
from batchwright.operations.server_batch import ServerRequest
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.providers.simulated import Simulated, Simulation, World
from batchwright.testing.virtual_clock import VirtualClock

Settings = dict[str, Scalar]
SIZES = {"upcloud": ("1xCPU-2GB", "de-fra1"), "aws": ("t3.micro", "eu-central-1")}
RETRY = Retry(max_attempts=6, initial_delay=0.5, max_delay=2.0)


class Scenario(Struct, frozen=True):
    """A plan, the behaviour of the clouds, and what is wanted: the end of the run, or of its rollback."""

    name: str
    plan: Plan
    settings: Settings
    ends: RunState
    rollback: bool = False
    races: bool = False  # how far it gets before it is stopped is a matter of time
    cancel_after: float | None = None  # seconds after the start at which the user cancels


def needs(*ids: str) -> tuple[Dependency, ...]:
    """Dependencies; `~id` is a soft one."""
    kinds = {True: DependencyKind.SOFT, False: DependencyKind.HARD}
    return tuple(Dependency(one.lstrip("~"), kinds[one.startswith("~")]) for one in ids)


def servers(
    op: str,
    provider: str,
    *names: str,
    after: tuple[str, ...] = (),
    on_failure: OnFailure = OnFailure.CONTINUE,
    timeout: float = 60.0,
) -> tuple[PlannedOperation, list[Step]]:
    """A server batch."""
    steps = [
        Step(f"{op}/{n}", op, provider, Action.CREATE, Undo.DESTROY, ServerRequest(n, *SIZES[provider])) for n in names
    ]
    return PlannedOperation(op, "server_batch", provider, provider, needs(*after), on_failure, RETRY, timeout), steps


def installs(
    op: str, provider: str, targets: list[Step], *names: str, after: tuple[str, ...] = (), remove: bool = False
) -> tuple[PlannedOperation, list[Step]]:
    """A task service batch: the services in this order on each target; with `remove` they are taken off first."""
    steps = []
    for server in targets:
        for i, name in enumerate(names):
            before = (Need(f"{op}/{server.request.name}/{names[i - 1]}"),) if i else ()
            undo = Undo.REMOVE if remove else Undo.WITH_SERVER
            request = TaskservRequest(name, "1", provider)
            step_id = f"{op}/{server.request.name}/{name}"
            steps.append(Step(step_id, op, provider, Action.INSTALL, undo, request, before, server.id))
    lane = "taskservs"
    return PlannedOperation(op, "taskserv_batch", provider, lane, needs(*after), OnFailure.CONTINUE, RETRY, 60.0), steps


def command(
    op: str, *words: str, after: tuple[str, ...] = (), idempotent: bool = False
) -> tuple[PlannedOperation, list[Step]]:
    """A command of this machine, with an undo."""
    request = CommandRequest(op, (op, *words), ("undo", *words), idempotent=idempotent)
    step = Step(f"{op}/run", op, "", Action.RUN, Undo.RUN, request)
    return PlannedOperation(op, "command", "", "commands", needs(*after), OnFailure.CONTINUE, RETRY, 60.0), [step]


def plan(settings: Settings, *parts: tuple[PlannedOperation, list[Step]], limit: int = 4) -> Plan:
    """Put the operations together."""
    providers = sorted({op.provider for op, _ in parts if op.type == "server_batch"})
    clouds = [Simulated(name, World(), VirtualClock(), Simulation.from_settings(settings, name)) for name in providers]
    facts = tuple(cloud.capabilities.facts(cloud.name, f"simulated-{cloud.name}") for cloud in clouds)
    steps = tuple(step for _, steps in parts for step in steps)
    return Plan("w", "1", "memory", limit, True, tuple(op for op, _ in parts), steps, facts, simulation=settings)


HARD: Settings = {"seed": 3, "lost_answers": 0.3, "late_commits": 0.3, "list_lag": 1.5, "transient": 0.2, "spread": 0}


def _mixed(settings: Settings) -> Plan:
    up, aws = servers("up", "upcloud", "a", "b"), servers("aws", "aws", "c")
    return plan(settings, up, aws, installs("svc", "aws", up[1] + aws[1], "redis", after=("up", "aws")))


def _diamond(settings: Settings, on_failure: OnFailure = OnFailure.CONTINUE, timeout: float = 60.0) -> Plan:
    return plan(
        settings,
        servers("base", "upcloud", "a"),
        servers("left", "aws", "b", after=("base",), on_failure=on_failure, timeout=timeout),
        servers("right", "upcloud", "c", "d", after=("base",), on_failure=on_failure, timeout=timeout),
        servers("top", "aws", "e", after=("left", "~right")),
        limit=2,
    )


def _programs(settings: Settings) -> Plan:
    return plan(
        settings,
        servers("up", "upcloud", "a"),
        command("once", after=("up",)),
        command("again", "flaky", after=("up",), idempotent=True),
        command("lost", "lost", after=("once", "again")),
        command("last", after=("lost",)),
    )


def all_scenarios() -> list[Scenario]:
    """Named for the test ids."""
    quiet: Settings = {"seed": 1, "spread": 0}
    failing: Settings = {**quiet, "fail": "c"}
    names: Settings = {**HARD, "guard": "unique_name"}
    tokens: Settings = {**HARD, "guard": "token"}
    broken: Settings = {**quiet, "fail": "b=broken:1,c=never_ready:1"}
    up = servers("up", "upcloud", "a", "b")
    removal = plan(quiet, up, installs("svc", "aws", up[1], "containerd", "redis", after=("up",), remove=True))
    return [
        Scenario("mixed", _mixed(quiet), quiet, RunState.COMPLETED),
        Scenario("mixed-hostile", _mixed(HARD), HARD, RunState.COMPLETED),
        Scenario("diamond-hostile", _diamond(HARD), HARD, RunState.COMPLETED),
        Scenario("unique-names-hostile", _diamond(names), names, RunState.COMPLETED),
        Scenario("tokens-hostile", _diamond(tokens), tokens, RunState.COMPLETED),
        Scenario("soft-edge-failure", _diamond(failing), failing, RunState.FAILED),
        Scenario("replaced-servers", _diamond(broken, timeout=10.0), broken, RunState.COMPLETED),
        Scenario("rollback", _mixed(quiet), quiet, RunState.ROLLED_BACK, rollback=True),
        Scenario("rollback-hostile", _mixed(HARD), HARD, RunState.ROLLED_BACK, rollback=True),
        Scenario("rollback-with-removal", removal, quiet, RunState.ROLLED_BACK, rollback=True),
        Scenario("automatic-rollback", _diamond(failing, OnFailure.ROLLBACK), failing, RunState.ROLLED_BACK),
        Scenario("stop", _diamond(failing, OnFailure.STOP), failing, RunState.FAILED, races=True),
        Scenario("commands", _programs(quiet), quiet, RunState.COMPLETED),
        Scenario("commands-rollback", _programs(quiet), quiet, RunState.ROLLED_BACK, rollback=True),
        Scenario("cancelled", _mixed(HARD), HARD, RunState.CANCELLED, races=True, cancel_after=1.0),
    ]


__all__ = ["HARD", "Guard", "Scenario", "all_scenarios", "installs", "plan", "servers"]
