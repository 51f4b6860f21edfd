"""A run against the last good one of its environment, what happened to it as a whole, and what is left to hand over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from msgspec import Struct

from batchwright.agents.slices.base import Evidence, Fact, Slice
from batchwright.agents.slices.provider_calls import latencies, providers_of
from batchwright.agents.slices.run_source import RunSource, ids, next_fact, parsed, question_facts, run_facts
from batchwright.agents.slices.token_budget import Section, fit
from batchwright.agents.slices.untrusted_text import fenced, name
from batchwright.model.lifecycle import StepState
from batchwright.model.run import Run
from batchwright.views.failure_causes import failure_causes
from batchwright.views.next_action import next_action
from batchwright.views.steps import servers
from batchwright.views.text_format import counted, duration

MARKS_MOST, CAUSES_READ = 50, 20


class RunFigures(Struct, frozen=True):
    """A run in figures. `seconds` from its start to its end, or to its last event; `per_hour` by currency."""

    run: str
    version: str
    status: str
    seconds: float
    steps: int
    succeeded: int
    failed: int
    retries: int
    throttled: int
    servers: int
    per_hour: dict[str, float]


def figures(run: Run) -> RunFigures:
    """A run in figures."""
    end = run.ended_at or run.updated_at
    return RunFigures(
        run=run.id,
        version=run.plan.version,
        status=run.status,
        seconds=max(0.0, end - run.started_at) if run.started_at else 0.0,
        steps=run.step_count,
        succeeded=run.count(StepState.SUCCEEDED),
        failed=run.count(StepState.FAILED),
        retries=run.retries,
        throttled=run.throttles,
        servers=len(servers(run, len(run.records))[0]),
        per_hour=_cost(run),
    )


def _cost(run: Run) -> dict[str, float]:
    """What the servers that exist cost an hour, as far as the plan knows prices."""
    prices = {(one.provider, one.plan, one.zone): one for one in run.plan.prices}
    total: Counter[str] = Counter()
    for one in servers(run, len(run.records))[0]:
        price = prices.get((one.provider, one.plan, one.zone))
        if price is not None and price.per_hour is not None:
            total[price.currency] += price.per_hour  # type: ignore[assignment]
    return {currency: round(amount, 4) for currency, amount in total.items()}


def comparison_slice(source: RunSource, query: str, budget: int) -> Slice:
    """A run against the last good one of its environment. Raises UsageError."""
    parsed(query, ())
    run, now = source.run, figures(source.run)
    before = figures(source.earlier.run) if source.earlier else None
    head = [*run_facts(source), _line("this run", now)]
    head.append(_line("last good run", before) if before else Fact("earlier", "last good run: there is none"))
    head.append(next_fact(next_action(run, driven=source.around.driven)))
    causes = failure_causes(run, CAUSES_READ)
    failed = [
        Fact(
            "failed",
            f"failed: {one.count} {one.kind}{f' {name(one.code)}' if one.code else ''} {fenced(one.message, 120)}",
            tuple(source.evidence(run.index[step]) for step in one.steps[:1]),
            one.count,
        )
        for one in causes.items
    ]
    marks = source.history.marks(run.seq)
    sections = (
        Section("questions", "show questions", question_facts(run)),
        Section("failed steps", "diagnose", failed, causes.failed - sum(fact.count for fact in failed), weighed=True),
        Section("differences", "find steps", list(_differences(source)), least=3),
        Section("actions", "find providers", list(_speeds(source)), least=2),
        Section(
            "marks of its history",
            "find events",
            [
                Fact(
                    "mark",
                    f"+{duration(one.at - run.created_at)} event {one.seq}: {fenced(one.text, 160)}",
                    (Evidence(one.seq),),
                )
                for one in reversed(marks[-MARKS_MOST:])
            ],
            max(0, len(marks) - MARKS_MOST),
            least=3,
        ),
        Section("servers", "find servers", list(_servers(run))),
    )
    return fit("compare", run.id, run.seq, budget, head, sections)


def _line(what: str, one: RunFigures) -> Fact:
    costs = "".join(f", {amount:g} {name(currency)} an hour" for currency, amount in one.per_hour.items())
    text = (
        f"{what} {one.run} {name(one.version)}: {one.status} after {duration(one.seconds)}, {one.succeeded} of"
        f" {one.steps} succeeded, {one.failed} failed, {counted(one.retries, 'retry')}, {one.throttled} throttled,"
        f" {counted(one.servers, 'server')}{costs}"
    )
    return Fact("figures", text)


def _differences(source: RunSource) -> Iterator[Fact]:
    """Steps that only one of the two runs has, and requests that differ, by operation."""
    if source.earlier is None:
        return
    now, before = source.run.plan, source.earlier.run.plan
    old, new = {step.id: step for step in before.steps}, {step.id: step for step in now.steps}
    for what, these, others in (("new", new, old), ("gone", old, new)):
        by_operation: dict[str, list[str]] = {}
        for own, step in these.items():
            if own not in others and step.counted:
                by_operation.setdefault(step.operation, []).append(own)
        for operation, found in by_operation.items():
            text = f"{what} in {name(operation)}: {counted(len(found), 'step')}: {ids(found)}"
            yield Fact("difference", text, tuple(Evidence(0, one) for one in found[:3]), len(found))
    changed = [own for own, step in new.items() if own in old and old[own].request != step.request]
    if changed:
        evidence = tuple(Evidence(0, one) for one in changed[:3])
        yield Fact(
            "difference", f"other requests: {counted(len(changed), 'step')}: {ids(changed)}", evidence, len(changed)
        )
    if now.parallel_limit != before.parallel_limit:
        yield Fact("difference", f"parallel_limit {before.parallel_limit} -> {now.parallel_limit}")


def _speeds(source: RunSource) -> Iterator[Fact]:
    for provider in providers_of(source.run):
        for one in latencies(source, provider):
            if one.before:
                ratio = one.p50 / one.before
                text = f"{name(provider)} {one.action}: median {duration(one.before)} -> {duration(one.p50)}"
                yield Fact("speed", f"{text} ({ratio:.1f} times)", count=one.steps)


def _servers(run: Run) -> Iterator[Fact]:
    """The servers that exist, by provider, zone and plan."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for one in servers(run, len(run.records))[0]:
        groups.setdefault((one.provider, one.zone, one.plan), []).append(one.name)
    for place, names in groups.items():
        where = " ".join(name(part) for part in place if part)
        yield Fact("servers", f"servers: {len(names)} at {where}: {ids(names)}", count=len(names))
