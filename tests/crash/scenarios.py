"""Reference workflows for the crash exploration: small, and between them every kind of trouble."""

from __future__ import annotations

from msgspec.structs import replace

from batchwright.model.actions import Action, Undo
from batchwright.model.fault import FaultClass
from batchwright.model.ids import step_token
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import Alternative, Before, Guard, Need, Plan, PlannedOperation, Retired, Step
from batchwright.model.scalar import Scalar
from batchwright.model.workflow import Dependency, DependencyKind, OnFailure, Retry
from batchwright.operations.check import CheckRequest, TcpCheck
from batchwright.operations.command import CommandRequest
from batchwright.operations.server_batch import ServerRequest
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.providers.simulated import Simulated, Simulation, World
from batchwright.rehearsal.scenario import EARLIER, Scenario
from batchwright.testing.virtual_clock import VirtualClock

Settings = dict[str, Scalar]
SIZES = {"upcloud": ("1xCPU-2GB", "de-fra1"), "aws": ("t3.micro", "eu-central-1")}
RETRY = Retry(max_attempts=6, initial_delay=0.5, max_delay=2.0)


class LyingScenario(Scenario, frozen=True):
    """`lies` are servers that UpCloud refuses in their first zone, and creates all the same."""

    lies: tuple[str, ...] = ()


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


def elsewhere(part: tuple[PlannedOperation, list[Step]], *on: FaultClass) -> tuple[PlannedOperation, list[Step]]:
    """The servers of UpCloud may also be created in another zone, else at AWS."""
    zone, size = SIZES["upcloud"][0], SIZES["aws"]
    return replace(part[0], otherwise_on=on), [
        replace(
            step,
            alternatives=(
                Alternative("upcloud", ServerRequest(step.request.name, zone, "nl-ams1")),
                Alternative("aws", ServerRequest(step.request.name, *size)),
            ),
        )
        for step in part[1]
    ]


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


def stands(settings: Settings, *sizes: str) -> tuple[Plan, list[tuple[str, Before]]]:
    """The plan of the run before, with a server of each size; and each server by reference, with what it was asked for.

    They have redis, of version 1.
    """
    op, steps = servers("up", "upcloud", *(chr(ord("a") + n) for n in range(len(sizes))))
    steps = [replace(one, request=replace(one.request, plan=size)) for one, size in zip(steps, sizes, strict=True)]
    there = [
        (f"upcloud-{n + 1:06}", Before(one.request, EARLIER, step_token(EARLIER, one.id, 0)))
        for n, one in enumerate(steps)
    ]
    return plan(settings, (op, steps), installs("svc", "upcloud", steps, "redis", after=("up",)), limit=1), there


def updates(there: list[tuple[str, Before]], **fields: object) -> tuple[PlannedOperation, list[Step]]:
    """Changes these fields of the servers that stand there, in place."""
    op, _ = servers("up", "upcloud")
    return op, [
        Step(
            *(f"up/{before.request.name}", "up", "upcloud", Action.UPDATE, Undo.RESTORE),
            replace(before.request, **fields),
            ref=ref,
            before=before,
        )
        for ref, before in there
    ]


def upgrades(
    op: str, version: str, targets: list[Step], after: tuple[str, ...] = ("up",)
) -> tuple[PlannedOperation, list[Step]]:
    """Another version of redis on servers that have version 1."""
    made, steps = installs(op, "upcloud", targets, "redis", after=after)
    return made, [
        replace(one, undo=Undo.RESTORE, before=Before(one.request), request=replace(one.request, version=version))
        for one in steps
    ]


def replaced(there: list[tuple[str, Before]], zone: str) -> tuple[PlannedOperation, list[Step]]:
    """Servers that are destroyed, and created anew in another zone."""
    op, _ = servers("up", "upcloud")
    steps = []
    for ref, before in there:
        own, retired = f"up/{before.request.name}", Retired(f"server//{before.request.name}", before.run, before.token)
        old = Step(f"{own}!old", "up", "upcloud", Action.RETIRE, Undo.NOTHING, before.request, ref=ref, retired=retired)
        new = replace(before.request, zone=zone)
        steps += [old, Step(own, "up", "upcloud", Action.CREATE, Undo.DESTROY, new, (Need(old.id),))]
    return op, steps


def replaced_new_first(
    there: list[tuple[str, Before]], zone: str
) -> tuple[tuple[PlannedOperation, list[Step]], tuple[PlannedOperation, list[Step]]]:
    """The same, and the old ones go last."""
    op, steps = replaced(there, zone)
    last = replace(op, id="(retire up)", dependencies=needs("up", "svc"))
    old = [replace(one, id=f"{last.id}/{one.request.name}", operation=last.id) for one in steps[::2]]
    return (op, [replace(one, needs=()) for one in steps[1::2]]), (last, old)


def command(
    op: str, *words: str, after: tuple[str, ...] = (), idempotent: bool = False
) -> tuple[PlannedOperation, list[Step]]:
    """A command of this machine, with an undo."""
    request = CommandRequest(op, (op, *words), ("undo", *words), idempotent=idempotent)
    step = Step(f"{op}/run", op, "", Action.RUN, Undo.RUN, request)
    return PlannedOperation(op, "command", "", "commands", needs(*after), OnFailure.CONTINUE, RETRY, 60.0), [step]


def check(op: str, request: CheckRequest, after: tuple[str, ...] = ()) -> tuple[PlannedOperation, list[Step]]:
    """A check from this machine."""
    step = Step(f"{op}/check", op, "", Action.CHECK, Undo.NOTHING, request)
    once = Retry(max_attempts=1)
    return PlannedOperation(op, "check", "", "checks", needs(*after), OnFailure.CONTINUE, once, 60.0), [step]


def plan(settings: Settings, *parts: tuple[PlannedOperation, list[Step]], limit: int = 4) -> Plan:
    """Put the operations together."""
    found = {op.provider for op, _ in parts if op.type == "server_batch"}
    providers = sorted(found | {one.provider for _, steps in parts for step in steps for one in step.alternatives})
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


def _values(settings: Settings, *, idempotent: bool = False, unless: tuple[str, ...] = ()) -> Plan:
    """A command gives a value, which another one and a server's first start use, with the addresses of servers."""
    words = ("${outputs.give.url}", "${operations.up.addresses}", "${run.id}")
    named = tuple(sorted(word[2:-1] for word in words))
    give, (gives,) = command("give", after=("up",), idempotent=idempotent)
    use, (uses,) = command("use", *words, after=("give",), idempotent=True)
    late, (made,) = servers("late", "aws", "c", after=("give",))
    giving = replace(gives.request, outputs=("url",), unless=unless)
    using = replace(uses.request, references=named)
    boots = replace(made.request, user_data=f"#!{words[0]} {words[1]}", references=named[:2])
    return plan(
        settings,
        servers("up", "upcloud", "a", "b"),
        (give, [replace(gives, request=giving)]),
        (use, [replace(uses, request=using)]),
        (late, [replace(made, request=boots)]),
    )


def _checks(settings: Settings) -> Plan:
    """A check that is well at the second look, and one that runs a program, gate a server."""
    program = CommandRequest("probe", ("probe", "flaky"))
    return plan(
        settings,
        servers("up", "upcloud", "a"),
        check("port", CheckRequest("port", tcp=TcpCheck("a", 80)), after=("up",)),
        check("program", CheckRequest("program", program=program), after=("up",)),
        servers("next", "upcloud", "b", after=("port", "program")),
    )


def _conditions(settings: Settings) -> Plan:
    """A program's answer, lost at first, chooses between two servers; a failure is handled, and its handler is not."""
    op, [probe] = command("lost", "lost", idempotent=True)
    lost = replace(probe, request=replace(probe.request, answers={"yes": 0, "no": 3}))

    def asking(answer: str, part: tuple[PlannedOperation, list[Step]]) -> tuple[PlannedOperation, list[Step]]:
        return replace(part[0], dependencies=(*part[0].dependencies, Dependency("lost")), when={"lost": answer}), part[
            1
        ]

    def handles(broken: str, part: tuple[PlannedOperation, list[Step]]) -> tuple[PlannedOperation, list[Step]]:
        return replace(part[0], dependencies=(Dependency(broken, DependencyKind.FAILED),)), part[1]

    return plan(
        settings,
        (op, [lost]),
        asking("no", servers("no", "upcloud", "a")),
        asking("yes", servers("yes", "upcloud", "b")),
        servers("broken", "upcloud", "c", after=("no",)),
        handles("broken", servers("handler", "aws", "d")),
        handles("handler", servers("calm", "aws", "e")),
        servers("after", "aws", "f", after=("yes", "~broken")),
    )


def _changes_in_place() -> list[Scenario]:
    """Servers and services of a run before: changed, changed back, replaced."""
    quiet: Settings = {"seed": 1, "spread": 0}
    done, back = RunState.COMPLETED, RunState.ROLLED_BACK
    both: dict[str, object] = {"plan": "2xCPU-4GB", "labels": {"team": "x"}}
    scenarios = []
    for name, settings in (("", quiet), ("-hostile", HARD)):
        first, there = stands(quiet, "1xCPU-2GB", "1xCPU-2GB")
        live, stopped = updates(there, labels={"team": "x"}), updates(there, **both)
        kept = [replace(one, action=Action.KEEP, undo=Undo.NOTHING, before=None) for one in updates(there)[1]]
        upgraded = plan(settings, stopped, upgrades("svc", "2", stopped[1]))
        services = plan(settings, (stopped[0], kept), upgrades("svc", "2", kept))
        moved = replaced(there, "fi-hel1")
        anew = plan(settings, moved, installs("svc", "upcloud", moved[1][1::2], "redis", after=("up",)))
        new, last = replaced_new_first(there, "fi-hel1")
        beside = plan(settings, new, installs("svc", "upcloud", new[1], "redis", after=("up",)), last)
        scenarios += [
            Scenario(f"replaced-new-first{name}", beside, settings, done, earlier=first),
            Scenario(f"update-live{name}", plan(settings, live), settings, done, earlier=first),
            Scenario(f"update-stopped{name}", plan(settings, stopped), settings, done, earlier=first),
            Scenario(f"update-and-upgrade{name}", upgraded, settings, done, earlier=first),
            Scenario(f"update-rollback{name}", upgraded, settings, back, rollback=True, earlier=first),
            Scenario(f"replaced-old-first{name}", anew, settings, done, earlier=first),
            Scenario(
                f"rollback-of-vanished{name}", upgraded, settings, back, rollback=True, earlier=first, vanishes=("b",)
            ),
            Scenario(
                f"restore-on-vanished{name}", services, settings, back, rollback=True, earlier=first, vanishes=("b",)
            ),
        ]
    first, there = stands(quiet, "1xCPU-2GB", "1xCPU-2GB")
    op, kept = updates(there)
    kept = [replace(one, action=Action.KEEP, undo=Undo.NOTHING, before=None) for one in kept]
    own, added = installs("svc", "upcloud", kept, "redis", "containerd", after=("up",), remove=True)
    added[::2] = [replace(one, action=Action.KEEP, undo=Undo.NOTHING) for one in added[::2]]
    beside = plan(quiet, (op, kept), (own, added))
    scenarios.append(Scenario("beside-what-stays", beside, quiet, done, earlier=first))
    scenarios.append(Scenario("rollback-beside-what-stays", beside, quiet, back, rollback=True, earlier=first))
    return scenarios


def _otherwise() -> list[Scenario]:
    """Servers that find no room: refused, and then an answer is lost; at the quota of an account; refused by a lie."""
    quiet: Settings = {"seed": 1, "spread": 0}
    full, done = FaultClass.CAPACITY, RunState.COMPLETED
    lost: Settings = {"upcloud.fail": "a=capacity", "aws.fail": "a=lost_answers:1"}
    up = elsewhere(servers("up", "upcloud", "a", "b"), full)
    on_them = installs("svc", "upcloud", up[1], "redis", after=("up",))
    quota: Settings = {**quiet, "upcloud.fail": "s*=quota"}
    many = elsewhere(servers("up", "upcloud", *(f"s{n}" for n in range(8))), full, FaultClass.QUOTA)
    liar = elsewhere(servers("up", "upcloud", "a"), full)
    room, hard = {**quiet, **lost}, {**HARD, **lost}
    return [
        Scenario("otherwise", plan(room, up, on_them), room, done),
        Scenario("otherwise-hostile", plan(hard, up), hard, done),
        Scenario("otherwise-rollback-hostile", plan(hard, up), hard, RunState.ROLLED_BACK, rollback=True),
        Scenario("otherwise-quota", plan(quota, many), quota, done),
        LyingScenario("otherwise-lie", plan(quiet, liar), quiet, done, lies=("a",)),
    ]


def all_scenarios() -> list[Scenario]:
    """Named for the test ids."""
    quiet: Settings = {"seed": 1, "spread": 0}
    failing: Settings = {**quiet, "fail": "c"}
    names: Settings = {**HARD, "guard": "unique_name"}
    tokens: Settings = {**HARD, "guard": "token"}
    broken: Settings = {**quiet, "fail": "b=broken:1,c=never_ready:1"}
    anew: Settings = {**quiet, "fail": "c=broken:1"}
    looking: Settings = {**quiet, "fail_check": "port=transient:1"}
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
        Scenario("values", _values(HARD), HARD, RunState.COMPLETED),
        Scenario("values-again", _values(anew, idempotent=True), anew, RunState.COMPLETED),
        Scenario("values-unless", _values(quiet, unless=("done",)), quiet, RunState.COMPLETED),
        Scenario("values-rollback", _values(quiet), quiet, RunState.ROLLED_BACK, rollback=True),
        Scenario("checks", _checks(looking), looking, RunState.COMPLETED),
        Scenario("conditions", _conditions(failing), failing, RunState.FAILED),
        Scenario("conditions-rollback", _conditions(failing), failing, RunState.ROLLED_BACK, rollback=True),
        *_changes_in_place(),
        *_otherwise(),
        Scenario("cancelled", _mixed(HARD), HARD, RunState.CANCELLED, races=True, cancel_after=1.0),
    ]


__all__ = ["HARD", "Guard", "Scenario", "all_scenarios", "installs", "plan", "servers"]
