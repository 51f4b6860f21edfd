"""Carries out one experiment, and judges how it ended."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.plan import Plan
from batchwright.model.workflow import DependencyKind
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.simulated.catalog import profile_of
from batchwright.rehearsal.crash_restart_run import PROCESSES_MAX
from batchwright.rehearsal.death_recorder import DeathRecorder, death_of
from batchwright.rehearsal.end_state import EndState
from batchwright.rehearsal.fault_injected_run import RehearsedRun
from batchwright.rehearsal.fault_spec import Experiment, Injection, PortCall
from batchwright.rehearsal.invariants import BrokenInvariant, Invariant, broken_invariants, unplanned
from batchwright.rehearsal.port_interceptor import InjectionPoint, TooManyCalls
from batchwright.rehearsal.rehearsed import Help, Rehearsed, TraceEntry
from batchwright.rehearsal.saved_start import SavedStart, saved_start
from batchwright.rehearsal.scenario import Scenario
from batchwright.testing.crash_state_recorder import SharedValues
from batchwright.testing.virtual_clock import run_virtual

VIRTUAL_MOST = 30 * 86_400.0  # seconds
CALLS_TIMES, CALLS_LEAST = 60, 5_000  # bounds of the calls of one process, by those of the undisturbed run
KEPT_CALLS = 80  # of a recovery, each of which stands for those that are alike
OF_COMMANDS = (Invariant.COMMAND_ONCE, Invariant.UNDONE)
MakeRun = Callable[[Rehearsed, Experiment, int, bool], RehearsedRun]


class ExperimentOutcome(StrEnum):
    """How an experiment ended, from good to bad."""

    SAME = "same"  # as without the fault
    ROLLED_BACK = "rolled_back"  # the run took itself back, as its file says
    HELP = "help"  # as without the fault, once a person had helped
    STUCK = "stuck"  # not even with help
    BROKEN = "broken"  # an invariant does not hold


class ReferenceRun(Struct, frozen=True):
    """The undisturbed run, or its rollback: its end, its calls, and how many there are."""

    end: EndState
    calls: tuple[PortCall, ...]
    seconds: float
    cost: dict[str, float]
    facts: bytes
    status: RunState


class Result(Struct, frozen=True):
    """What became of an experiment. `seconds` and `cost` are of the run's own time, `end` is what the user's functions
    get, encoded. `recovery` are calls of the processes after the first, one of each kind.
    """

    experiment: Experiment
    outcome: ExperimentOutcome
    status: str
    broken: tuple[BrokenInvariant, ...] = ()
    help: tuple[Help, ...] = ()
    fired: tuple[Injection, ...] = ()
    seconds: float = 0.0
    cost: dict[str, float] = {}
    end: bytes = b""
    processes: int = 1
    recovery: tuple[PortCall, ...] = ()
    trace: tuple[TraceEntry, ...] = ()


def make_run(rehearsed: Rehearsed, experiment: Experiment, calls_most: int, trace: bool) -> RehearsedRun:
    """A run over ports without planted bugs."""
    return RehearsedRun(rehearsed, experiment, calls_most, trace=trace)


def undisturbed(
    rehearsed: Rehearsed, *, rollback: bool = False, make: MakeRun = make_run
) -> tuple[ReferenceRun, Result]:
    """The run without any fault, and the judgement of it."""
    most = CALLS_LEAST * 10 + CALLS_TIMES * 20 * len(rehearsed.plan.steps)
    run = make(rehearsed, Experiment((), rollback), most, False)
    point = InjectionPoint(run, (), observe=True)

    async def main() -> EndState:
        async with asyncio.timeout(VIRTUAL_MOST):  # as in `carry_out`: one timer more orders timers of one instant anew
            await run.process(point)
        return await _end(run)

    end = run_virtual(main())
    calls = tuple(point.observed or ())
    begins = next((i for i, call in enumerate(calls) if "RollbackStarted" in call.alike), 0) if rollback else 0
    reference = ReferenceRun(end, calls[begins:], run.ended - run.began, _cost(run), _facts(run, end), end.status)
    return reference, _judged(run, reference, end, (), trace=False)


def carry_out(
    rehearsed: Rehearsed,
    reference: ReferenceRun,
    experiment: Experiment,
    *,
    make: MakeRun = make_run,
    observe: bool = False,
    trace: bool = False,
    start: SavedStart | None = None,
) -> Result:
    """The run with the faults of an experiment; `start` is a state that it passes through, from which it goes on."""
    run = make(rehearsed, experiment, _calls_most(reference), trace)
    recovery: dict[str, PortCall] = {}
    time = 0.0 if start is None else start.restore(run)

    async def main() -> EndState:
        counts = _go_on(run, start)
        async with asyncio.timeout(VIRTUAL_MOST):
            for number in range(run.count + 1, PROCESSES_MAX + 1):
                here = [one for one in experiment.injections if one.process == number and one.verb != "ask"]
                counts = counts if number == 1 else None
                point = InjectionPoint(run, here, observe=observe and number > 1, counts=counts)
                done = await run.process(point)
                for call in point.observed or ():
                    if len(recovery) < KEPT_CALLS:
                        recovery.setdefault(call.alike, call)
                if done:
                    break
            else:
                run.broken.append(BrokenInvariant(Invariant.ENDS, "", f"{PROCESSES_MAX} processes"))
            await run.settled()
        return await _end(run)

    try:
        end = run_virtual(main(), time)
    except (TooManyCalls, TimeoutError) as error:
        return _unended(run, Invariant.ENDS, error)
    except Exception as error:
        return _unended(run, Invariant.RAISES, error)
    return _judged(run, reference, end, tuple(recovery.values()), trace=trace)


def carry_out_together(
    rehearsed: Rehearsed,
    reference: ReferenceRun,
    experiments: Sequence[Experiment],
    *,
    make: MakeRun = make_run,
    observe: Callable[[Experiment], bool],
    forward_end: SavedStart | None = None,
) -> Iterator[Result]:
    """The results of experiments that are all rolled back, or none; what several of them begin with is run once.

    `forward_end` is that of the run, if it is rolled back.
    """
    late = {one for one in experiments if forward_end is not None and forward_end.is_before(one)}
    left: dict[Injection, SavedStart] = {}
    for start, group in ((forward_end, [*late]), (None, [one for one in experiments if one not in late])):
        deaths = {death for one in group if (death := death_of(one)) is not None}
        if len(deaths) > 1:
            run = make(rehearsed, Experiment((), group[0].rollback), _calls_most(reference), False)
            left |= _left_behind(run, deaths, start)
    for one in experiments:
        death, base = death_of(one), forward_end if one in late else None
        start = base if death is None else left.get(death, base)
        yield carry_out(rehearsed, reference, one, make=make, observe=observe(one), start=start)


def _left_behind(
    run: RehearsedRun, deaths: Iterable[Injection], start: SavedStart | None
) -> dict[Injection, SavedStart]:
    """What the first process of a run leaves at each of these deaths."""
    recorder = DeathRecorder(deaths)
    time = 0.0 if start is None else start.restore(run)

    async def main() -> None:
        counts = _go_on(run, start)
        async with asyncio.timeout(VIRTUAL_MOST):
            await run.process(InjectionPoint(run, (), deaths=recorder, counts=counts))

    run_virtual(main(), time)
    return recorder.left


def forward_end_of(rehearsed: Rehearsed, reference: ReferenceRun, make: MakeRun = make_run) -> SavedStart | None:
    """The state in which the undisturbed run begins to roll back; None where people are asked, who may come later."""
    run = make(rehearsed, Experiment((), rollback=True), _calls_most(reference), False)
    saved: list[SavedStart] = []

    def save(counts: Counter[tuple[str, str]]) -> None:
        saved.append(saved_start(run, SharedValues(), counts=Counter(counts)))

    async def main() -> None:
        async with asyncio.timeout(VIRTUAL_MOST):
            await run.process(InjectionPoint(run, (), at_forward_end=save))

    if run.has_holds:
        return None
    run_virtual(main())
    return saved[0] if saved else None


def _go_on(run: RehearsedRun, start: SavedStart | None) -> Counter[tuple[str, str]] | None:
    """Let a run go on from the state into which it was put; gives the counts of a process that lives."""
    if start is None:
        return None
    run.goes_on(start)
    return start.counts


def _calls_most(reference: ReferenceRun) -> int:
    return max(CALLS_LEAST, CALLS_TIMES * len(reference.calls))


def _unended(run: RehearsedRun, invariant: Invariant, error: BaseException) -> Result:
    """The result of a run that came to no end."""
    broken = BrokenInvariant(invariant, "", f"{type(error).__name__} {error}".strip())
    told = (broken,), tuple(run.help), tuple(run.fired)
    return Result(run.experiment, ExperimentOutcome.BROKEN, "", *told, trace=tuple(run.trace or ()))


async def _end(run: RehearsedRun) -> EndState:
    run.scenario = replace(run.scenario, vanishes=tuple(run.vanished))
    return await run.end_state()


def _judged(
    run: RehearsedRun, reference: ReferenceRun, end: EndState, recovery: tuple[PortCall, ...], *, trace: bool
) -> Result:
    broken = [*run.broken, *_broken(run, reference, end)]
    wanted = reference.status
    if broken:
        outcome = ExperimentOutcome.BROKEN
    elif end.status is not wanted and end.status is not RunState.ROLLED_BACK:
        outcome = ExperimentOutcome.STUCK
    elif run.help:
        outcome = ExperimentOutcome.HELP
    else:
        outcome = ExperimentOutcome.SAME if end.status is wanted else ExperimentOutcome.ROLLED_BACK
    return Result(
        run.experiment,
        outcome,
        str(end.status),
        tuple(dict.fromkeys(broken)),
        tuple(run.help),
        tuple(run.fired),
        run.ended - run.began,
        _cost(run),
        _facts(run, end),
        run.count,
        recovery,
        tuple(run.trace or ()) if trace else (),
    )


def _broken(run: RehearsedRun, reference: ReferenceRun, end: EndState) -> list[BrokenInvariant]:
    scenario, wanted = run.scenario, reference.end
    found = _worldly(run)
    if end.status is wanted.status:
        races = bool(run.vanished) or (_may_lose_steps(scenario.plan) and end.steps != wanted.steps)
        about = Scenario(scenario.name, scenario.plan, {}, races=races, vanishes=scenario.vanishes)
        found += [
            one
            for one in broken_invariants(about, wanted, end)
            if not (_asked_for(run, end, one) or _is_elsewhere(scenario.plan, wanted, end, one))
        ]
    else:
        found += [BrokenInvariant(Invariant.NO_DUPLICATE, name, str(end.names[name])) for name in end.duplicates]
        found += [BrokenInvariant(Invariant.NO_LEFTOVER, ref) for ref in end.orphans]
        found += [BrokenInvariant(Invariant.ENVIRONMENT, "", problem) for problem in end.environment]
    if end.status is RunState.ROLLED_BACK:  # perhaps by itself, before everything had run
        unrun = {step.id for step in scenario.plan.steps if not end.ran[step.id]}
        found = [one for one in found if not (one.invariant in OF_COMMANDS and one.about in unrun)]
    if end.status is RunState.COMPLETED and not run.vanished:
        found += unplanned(scenario.plan, end)
    if end.status is RunState.ROLLED_BACK:
        left = end.names - run.existing_names
        found += [BrokenInvariant(Invariant.NO_LEFTOVER, name, "after the rollback") for name in left]
        lost = run.existing_names - end.names - Counter(run.vanished) - Counter(retired_servers(scenario.plan))
        found += [BrokenInvariant(Invariant.NOTHING_LOST, name, "after the rollback") for name in lost]
    if run.rehearsed.environment is not None:  # its runs are not in this store
        found = [one for one in found if "are not what its runs add up to" not in one.seen]
    return found


def _is_elsewhere(plan: Plan, wanted: EndState, end: EndState, broken: BrokenInvariant) -> bool:
    """Whether a server is only at another of its places, where it may have another plan."""
    name = broken.about
    if broken.invariant is not Invariant.SAME_END or end.names[name] != wanted.names[name]:
        return False
    plans = {
        one.plan for step in plan.steps if step.alternatives and step.request.name == name for one in step.requests
    }
    return end.servers[name][0] in plans and end.installed[name] == wanted.installed[name]


def _asked_for(run: RehearsedRun, end: EndState, broken: BrokenInvariant) -> bool:
    """Whether a command ran more than once since a person had it run again, or handled a failure that there was."""
    if broken.invariant is not Invariant.COMMAND_ONCE:
        return False
    handled = any(one.kind == "resume" for one in run.help) and end.ran[broken.about] == 1
    return handled or 1 < end.ran[broken.about] <= 1 + run.redone[broken.about]


def _may_lose_steps(plan: Plan) -> bool:
    """Whether a run may complete although some of its steps did not succeed."""
    soft = any(one.kind is not DependencyKind.HARD for op in plan.operations for one in op.dependencies)
    return soft or any(op.min_success or op.when for op in plan.operations)


def retired_servers(plan: Plan) -> list[str]:
    """The names of servers that a plan destroys, which its rollback does not bring back."""
    return [
        one.request.name for one in plan.steps if one.retired is not None and isinstance(one.request, ServerRequest)
    ]


def _worldly(run: RehearsedRun) -> list[BrokenInvariant]:
    """What is so in the world whatever became of the run."""
    found = []
    made = Counter(
        server.token for name in run.clouds for server in run.world.in_account(f"simulated-{name}") if server.token
    )
    names = {s.token: s.name for name in run.clouds for s in run.world.in_account(f"simulated-{name}")}
    found += [BrokenInvariant(Invariant.CREATED_ONCE, names[token], str(n)) for token, n in made.items() if n > 1]
    for ref in sorted(run.bystanders):
        server = run.world.server(ref)
        if server is None or server.destroy_requested_at is not None or run.world.installed_on(ref):
            found.append(BrokenInvariant(Invariant.FOREIGN, ref))
    return found


def _cost(run: RehearsedRun) -> dict[str, float]:
    """What the servers of the run cost until it ended, by currency."""
    cost: dict[str, float] = {}
    for name in run.clouds:
        profile = profile_of(name)
        for server in run.world.in_account(f"simulated-{name}"):
            price = profile.price(server.request.plan)
            if price is None or server.ref in run.bystanders:
                continue
            until = min(run.ended, server.gone_at if server.gone_at is not None else run.ended)
            hours = max(0.0, until - max(server.committed_at, run.began)) / 3600
            cost[profile.currency] = cost.get(profile.currency, 0.0) + price * hours
    return {currency: round(amount, 6) for currency, amount in cost.items()}


def _facts(run: RehearsedRun, end: EndState) -> bytes:
    """What the user's functions get of the end: without references and times, so that equal ends are equal."""
    plan = run.scenario.plan
    zones = {step.request.name: (step.operation, step.provider) for step in plan.steps}
    servers: list[dict[str, Any]] = [
        {
            "name": name,
            "operation": zones.get(name, ("", ""))[0],
            "provider": zones.get(name, ("", ""))[1],
            "plan": end.servers[name][0],
            "count": count,
            "installed": end.installed[name],
        }
        for name, count in sorted(end.names.items())
    ]
    operations: dict[str, dict[str, int]] = {}
    for step in plan.steps:
        counts = operations.setdefault(step.operation, {"succeeded": 0, "failed": 0, "other": 0})
        state = end.steps[step.id]
        key = {StepState.SUCCEEDED: "succeeded", StepState.FAILED: "failed"}.get(state, "other")
        counts[key] += 1
    commands = {step: {"runs": end.ran[step], "undone": end.undone[step]} for step in sorted({*end.ran, *end.undone})}
    helped = sorted({one.kind for one in run.help})
    facts = {
        "status": str(end.status),
        "servers": servers,
        "operations": operations,
        "commands": commands,
        "helped": helped,
        "vanished": sorted(run.vanished),
    }
    return msgspec.json.encode(facts)
