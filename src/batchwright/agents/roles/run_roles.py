"""The roles that read a run: monitor, diagnoser, recovery, provider and reporter."""

from __future__ import annotations

from collections.abc import Iterator

from batchwright.agents.roles.base import ActionRequest, AgentRole, RoleAnswer, Subject
from batchwright.agents.roles.payloads import (
    CauseCount,
    Diagnosis,
    ProviderSummary,
    RecoveryPlan,
    RunComparison,
    RunProgress,
)
from batchwright.agents.slices.comparison import figures
from batchwright.agents.slices.provider_calls import SLOWER, latencies, providers_of
from batchwright.agents.slices.recovery import RecoveryWay, Way, recovery_ways
from batchwright.agents.slices.registry import run_slice
from batchwright.agents.slices.run_source import RunSource, parsed
from batchwright.agents.slices.untrusted_text import cleaned, name
from batchwright.model.lifecycle import RUN_ENDED, StepState
from batchwright.views.display_state import LOST
from batchwright.views.eta import remaining_seconds
from batchwright.views.failure_causes import failure_causes
from batchwright.views.text_format import counted, duration

CAUSES_MOST, CODE_MOST = 20, 60


def _monitor(source: RunSource, query: str, budget: int) -> RoleAnswer:
    run, driven = source.run, source.around.driven
    told = run_slice("status", source, query, budget)
    left = remaining_seconds(run, source.history.shape, source.now) if driven else None
    failed = run.count(StepState.FAILED, StepState.UNDO_FAILED)
    payload = RunProgress(
        run=run.id,
        status=run.status,
        driven=driven and run.status not in RUN_ENDED,
        seq=run.seq,
        done=run.count(StepState.SUCCEEDED),
        total=run.step_count,
        failed=failed,
        in_flight=len(run.in_flight),
        left=left,
        questions=len(run.asking),
    )
    parts = [f"{run.status}: {payload.done} of {payload.total} steps done"]
    parts += [f"{failed} failed"] if failed else []
    parts += [f"{payload.in_flight} in flight"] if payload.in_flight else []
    parts += [counted(payload.questions, "open question")] if payload.questions else []
    if run.status not in RUN_ENDED:
        parts.append("no process drives it" if not driven else f"about {duration(left)} left" if left else "")
    actions = tuple(_actions(one for one in recovery_ways(run, driven=driven) if one.way in _OF_MONITOR))
    return RoleAnswer(run.id, ", ".join(filter(None, parts)) + ".", told, payload, actions)


_OF_MONITOR = (Way.ANSWER, Way.WATCH, Way.RESUME)


def _actions(ways: Iterator[RecoveryWay] | list[RecoveryWay]) -> Iterator[ActionRequest]:
    for one in ways:
        if one.command:
            yield ActionRequest(one.way, one.command, one.step, one.before, one.destroys)


def _diagnoser(source: RunSource, query: str, budget: int) -> RoleAnswer:
    run = source.run
    told = run_slice("diagnose", source, query, budget)
    causes = failure_causes(run, CAUSES_MOST)
    seq, step = _first_failure(source)
    payload = Diagnosis(
        run=run.id,
        failed=causes.failed,
        causes=tuple(
            CauseCount(one.kind, cleaned(one.code, CODE_MOST), one.provider, one.place, one.count, one.steps[0])
            for one in causes.items
        ),
        causes_more=causes.items_more,
        first_step=step,
        first_seq=seq,
        skipped=causes.skipped,
        in_doubt=sum(record.doubt for record in run.records),
    )
    return RoleAnswer(run.id, _diagnosis_words(payload), told, payload)


def _diagnosis_words(found: Diagnosis) -> str:
    if not found.failed:
        return "No step has failed."
    most = found.causes[0]
    number = len(found.causes) + found.causes_more
    where = " at " + " ".join(name(part) for part in (most.provider, most.place) if part) if most.provider else ""
    told = f"{counted(found.failed, 'step')} failed"
    told += f": {most.kind}{where}" if number == 1 else f" for {number} causes, most of them {most.kind}{where}"
    because = f"; {counted(found.skipped, 'step')} did not run because of that" if found.skipped else ""
    return f"{told}{because}; the first was {name(found.first_step)} (event {found.first_seq})."


def _first_failure(source: RunSource) -> tuple[int, str]:
    lost = (
        (changes[-1][0], i)
        for i, changes in enumerate(source.history.changes)
        if changes and changes[-1][2] in LOST and changes[-1][0] <= source.run.seq
    )
    seq, i = min(lost, default=(0, -1))
    return seq, source.run.plan.steps[i].id if seq else ""


def _recovery(source: RunSource, query: str, budget: int) -> RoleAnswer:
    run = source.run
    told = run_slice("recovery", source, query, budget)
    ways = recovery_ways(run, driven=source.around.driven)
    if not ways:
        summary = "Nothing is left to do."
    else:
        first = ways[0]
        before = f" ({first.before} first)" if first.before else ""
        summary = f"{counted(len(ways), 'way')} to go on; first: {first.way}{before}."
    return RoleAnswer(run.id, summary, told, RecoveryPlan(run.id, tuple(ways)), tuple(_actions(ways)))


def _provider(source: RunSource, query: str, budget: int) -> RoleAnswer:
    run = source.run
    told = run_slice("provider", source, query, budget)
    chosen = (*parsed(query, ()).words, *providers_of(run))[0]
    took = tuple(latencies(source, chosen))
    slower = tuple(one.action for one in took if one.before and one.p50 >= SLOWER * one.before)
    own = [run.records[i].state for i, step in enumerate(run.steps) if step.provider == chosen and step.counted]
    stopped = run.stopped_lanes[chosen].kind if chosen in run.stopped_lanes else ""
    payload = ProviderSummary(
        run=run.id,
        provider=chosen,
        steps=len(own),
        failed=own.count(StepState.FAILED),
        retries=run.provider_retries.get(chosen, 0),
        throttled=run.provider_throttles.get(chosen, 0),
        latencies=took,
        slower=slower,
        stopped=stopped,
    )
    parts = [f"{name(chosen)}: {payload.failed} of {counted(payload.steps, 'step')} failed"]
    parts += [f"throttled {counted(payload.throttled, 'time')}"] if payload.throttled else []
    parts += [f"stopped by {stopped}"] if stopped else []
    parts += [f"slower than before: {', '.join(slower)}"] if slower else []
    return RoleAnswer(run.id, ", ".join(parts) + ".", told, payload)


def _reporter(source: RunSource, query: str, budget: int) -> RoleAnswer:
    run = source.run
    told = run_slice("compare", source, query, budget)
    now, before = figures(run), figures(source.earlier.run) if source.earlier else None
    summary = f"{run.status} after {duration(now.seconds)}: {now.succeeded} of {now.steps} steps, {now.failed} failed"
    if before is not None:
        summary += f"; the last good run, {before.run}, took {duration(before.seconds)} for {before.steps}"
    actions = tuple(_actions(recovery_ways(run, driven=source.around.driven)))
    return RoleAnswer(run.id, summary + ".", told, RunComparison(now, before), actions)


WAYS = tuple(Way)
ASK_ONLY = "Say only what the facts say; name no step, number or command that is not among them."
RUN_ROLES = (
    AgentRole(
        "monitor",
        "How far is it, what waits for what, when does it end?",
        Subject.RUN,
        250,
        ("failed", "doubt", "asks", "waits", "skipped", "provider"),
        f"Tell an operator in three sentences how the run stands and whether to wait. {ASK_ONLY}",
        _monitor,
        ("status",),
        _OF_MONITOR,
    ),
    AgentRole(
        "diagnoser",
        "Why did it fail?",
        Subject.RUN,
        700,
        ("cause", "kind", "first", "stopped", "worked", "difference", "doubt", "output"),
        f"Say what the root cause is, what the evidence is, and what contradicts it. {ASK_ONLY}",
        _diagnoser,
        ("diagnose",),
    ),
    AgentRole(
        "recovery",
        "What can be done about it, and what would each way destroy?",
        Subject.RUN,
        600,
        ("way", "doubt", "undo", "again"),
        f"Say which way you would try first and why, and what it risks. {ASK_ONLY}",
        _recovery,
        ("recovery",),
        WAYS,
    ),
    AgentRole(
        "provider",
        "How does one provider behave: slow, throttled, out of quota?",
        Subject.RUN,
        400,
        ("stopped", "silent", "held", "latency", "cause", "meaning"),
        f"Say whether this provider is the trouble, and what an operator can ask of it. {ASK_ONLY}",
        _provider,
        ("provider",),
    ),
    AgentRole(
        "reporter",
        "What happened, compared with the last good run, and what is left to do?",
        Subject.RUN,
        900,
        ("figures", "failed", "difference", "speed", "mark", "servers", "asks"),
        f"Write a hand-over note of at most 120 words. {ASK_ONLY}",
        _reporter,
        ("compare",),
        WAYS,
    ),
)
