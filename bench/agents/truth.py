"""What is true of a world, computed from the raw records: what every answer has to hold before its tokens count."""

from __future__ import annotations

from math import ceil

from batchwright.model.actions import Action
from batchwright.model.lifecycle import StepState
from batchwright.model.run import Run
from batchwright.operations.registry import is_server
from batchwright.providers.simulated.catalog import PROFILES
from batchwright.views.text_format import counted, duration
from bench.agents.worlds import AgentWorld

Facts = tuple[str | tuple[str, ...], ...]  # each has to be there, or one of several
S = StepState
EVERYTHING = ("T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8")
QUESTIONS = {
    "T1": "Why did the run fail, and what should be done?",
    "T2": "How far is the run, and what is left?",
    "T3": "Add two servers like {like} to the file.",
    "T4": "Is a rollback safe? What would it destroy, and what would a resume do?",
    "T5": "Which provider is slow, and how much slower than in the last good run?",
    "T6": "How does the run compare with the last good run?",
    "T7": "Why is my edited file rejected?",
    "T8": "What would running the file do, how long would it take, what would it cost?",
}
SESSION = ("T2", "T1", "T4", "T5", "T6", "T3")


def facts(world: AgentWorld, run: Run, task: str) -> Facts:
    """What an answer to a task has to hold. `run` may be another one than the world's current one."""
    return _FACTS[task](world, run)


def _failed(run: Run) -> list[int]:
    return [i for i, record in enumerate(run.records) if record.state is S.FAILED]


def _why(world: AgentWorld, run: Run) -> Facts:
    failed = _failed(run)
    if not failed:
        return run.id, "failed: 0 steps"
    first = min(failed, key=lambda i: (run.records[i].ended_at, i))
    fault = run.records[first].fault
    assert fault is not None
    step = run.steps[first]
    messages = {record.fault.message for record in run.records if record.fault and record.state is S.FAILED}
    shown = tuple(sorted(messages))  # steps of one cause differ in the request id, and one of them is quoted
    return (
        *(run.id, f"failed: {counted(len(failed), 'step')}", fault.kind.value, fault.code, step.provider),
        *(f"first failure: {step.id}", shown, f"batchwright resume {run.id}"),
        *(f"last good run: {world.earlier.id} version {world.earlier.plan.version}", "difference: "),
    )


def _left(_world: AgentWorld, run: Run) -> Facts:
    total, counts = len(run.records), {state: run.count(state) for state in S}
    told = [f"{counts[S.SUCCEEDED]} of {total} succeeded", str(run.status)]
    told += [f"{counts[S.FAILED]} failed"] if counts[S.FAILED] else []
    told += [f"{counts[S.SKIPPED]} skipped"] if counts[S.SKIPPED] else []
    told += [f"{counts[S.WAITING]} never_began"] if counts[S.WAITING] else []
    return *told, *(
        (f"provider {name}: {_done(run, name)} done", "omitted 1 provider:", "omitted 2 providers:")
        for name in ("aws", "upcloud")
    )


def _done(run: Run, provider: str) -> str:
    own = [record for step, record in zip(run.steps, run.records, strict=True) if step.provider == provider]
    return f"{sum(record.state is S.SUCCEEDED for record in own)} of {len(own)}"


def _added(world: AgentWorld, _run: Run) -> Facts:
    like = next(line.strip() for line in world.definition.text.splitlines() if f'"{world.like}"' in line)
    return tuple(like.rstrip(",").replace(world.like, name) for name in world.added)


def _undo(_world: AgentWorld, run: Run) -> Facts:
    records = list(zip(run.steps, run.records, strict=True))
    created = [record.ref for step, record in records if is_server(step) and record.ref]
    on_them = [step for step, record in records if step.server and record.attempt]  # it goes with its server
    gone, left = len(created) + len(on_them), len(records) - run.count(S.SUCCEEDED)
    return (
        f"undoes {counted(gone, 'step')}, takes away {gone:,}",
        f"carries out {counted(left, 'step')}",
        (f"destroy {_first(run)}", f"omitted {len(created):,}"),
        f"batchwright rollback {run.id}",
        ("again: ", "omitted"),
    )


def _first(run: Run) -> str:
    records = zip(run.steps, run.records, strict=True)
    return next(f"{step.id} {record.ref}" for step, record in records if record.ref and is_server(step))


def took(run: Run, provider: str, action: Action) -> list[float]:
    """The seconds that the last attempts of the succeeded steps of one action took at a provider."""
    records = zip(run.steps, run.records, strict=True)
    return sorted(
        record.ended_at - record.attempt_at
        for step, record in records
        if (step.provider, step.action, record.state) == (provider, action, S.SUCCEEDED)
    )


def _median(values: list[float]) -> float:
    return values[max(0, ceil(len(values) * 0.5) - 1)]


def _slow(world: AgentWorld, run: Run) -> Facts:
    now, before = (took(one, world.slow, Action.CREATE) for one in (run, world.earlier))
    then, times = _median(before), _median(now) / _median(before)
    return (
        f"provider {world.slow}:",
        f"create: {counted(len(now), 'step')}, median {duration(_median(now))}",
        f"last good run {duration(then)} ({times:.1f} times, slower)",
        *(f"provider {name}: {_done(run, name)} steps succeeded" for name in ("aws", "upcloud")),
        "account simulated-upcloud",
    )


def _compared(world: AgentWorld, run: Run) -> Facts:
    before = world.earlier
    changed = sum(one in world.definition.larger for one in _names(run))
    return (
        f"this run {run.id} {run.plan.version}: {run.status} after {duration(run.ended_at - run.started_at)}",
        f"{run.count(S.SUCCEEDED)} of {len(run.records)} succeeded",
        f"last good run {before.id} {before.plan.version}: {before.status} after "
        f"{duration(before.ended_at - before.started_at)}",
        f"other requests: {counted(changed, 'step')}",
        f"{world.slow} create: median",
    )


def _names(run: Run) -> list[str]:
    return [step.request.name for step in run.steps if is_server(step)]


def _mistakes(world: AgentWorld, _run: Run) -> Facts:
    return (*world.mistakes, ("3 problems", "3 mistakes"))


def _planned(_world: AgentWorld, run: Run) -> Facts:
    servers = [step for step in run.steps if is_server(step)]
    costs: dict[str, float] = {}
    for step in servers:
        profile = PROFILES[step.provider]
        costs[profile.currency] = costs.get(profile.currency, 0.0) + profile.plans[step.request.plan]
    installs = sum(step.action is Action.INSTALL for step in run.steps)
    return (
        (f"+ {len(servers) + installs} ", f"+ {len(servers) + installs:,} "),
        *((f"{amount:.4g} {currency}", f"{amount:.4f} {currency}") for currency, amount in costs.items()),
        ("takes at least", "takes about"),
        ("longest path: ", "EUR per hour"),
    )


_FACTS = {
    "T1": _why,
    "T2": _left,
    "T3": _added,
    "T4": _undo,
    "T5": _slow,
    "T6": _compared,
    "T7": _mistakes,
    "T8": _planned,
}


def missing(found: Facts, text: str) -> list[str]:
    """The facts that are not in a text."""
    return [str(one) for one in found if not any(word in text for word in ((one,) if isinstance(one, str) else one))]
