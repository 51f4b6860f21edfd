"""One provider as a run met it: how its calls went, how long they took, what held them up, and what its errors mean."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from msgspec import Struct

from batchwright.agents.slices.base import Fact, Slice
from batchwright.agents.slices.run_source import RunSource, ids, parsed, run_facts
from batchwright.agents.slices.token_budget import Section, fit
from batchwright.agents.slices.untrusted_text import fenced, name
from batchwright.engine.policy import POLICIES
from batchwright.errors import UsageError
from batchwright.model.fault import FaultClass
from batchwright.model.lifecycle import StepState
from batchwright.model.run import Run
from batchwright.views.failure_causes import failure_causes
from batchwright.views.text_format import counted, duration

CAUSES_READ, ROWS_MOST = 2_000, 100
SLOWER = 1.5  # times as long as in the last good run
MEANING = {
    FaultClass.TRANSIENT: "it may work in a moment",
    FaultClass.THROTTLE: "too many calls: the account's bucket slows down, no attempt is lost",
    FaultClass.BUSY: "the thing is in a state that passes",
    FaultClass.CAPACITY: "the zone has no room now; another zone or plan may have",
    FaultClass.QUOTA: "the account's limit is reached: only the provider's support or a removal makes room",
    FaultClass.BILLING: "the account cannot pay",
    FaultClass.AUTH: "the credentials are wrong or may not do this",
    FaultClass.INVALID: "the request can never work: the file has to change",
    FaultClass.NOT_FOUND: "what the request names is not there",
    FaultClass.CONFLICT: "something of that name or in that state is in the way",
    FaultClass.PERMANENT: "it will not work again by itself",
    FaultClass.TIMEOUT: "it was made but did not become ready in time",
    FaultClass.EXIT: "a program ended with another code than 0",
    FaultClass.IN_DOUBT: "the call's outcome is not known; the provider is asked",
}


class Latency(Struct, frozen=True):
    """How long the last attempts of the steps of one action took, in seconds, as nearest-rank percentiles.

    `before` is the median of the last good run, 0 if there is none.
    """

    action: str
    steps: int
    p50: float
    p95: float
    before: float = 0.0


def providers_of(run: Run) -> list[str]:
    """The providers that the run uses, those with the most failures first."""
    failed: dict[str, int] = {}
    for step, record in zip(run.steps, run.records, strict=True):
        if step.provider:
            failed[step.provider] = failed.get(step.provider, 0) + (record.state is StepState.FAILED)
    return sorted(failed, key=lambda one: (-failed[one], one))


def latencies(source: RunSource, provider: str) -> list[Latency]:
    """How long each action took at a provider."""
    now = _seconds(source.run, provider)
    before = _seconds(source.earlier.run, provider) if source.earlier else {}
    return [
        Latency(action, len(took), _rank(took, 0.5), _rank(took, 0.95), _rank(before.get(action, ()), 0.5))
        for action, took in now.items()
    ]


def provider_slice(source: RunSource, query: str, budget: int) -> Slice:
    """One provider in a run; `query` is its name, or "" for the one with the most failures. Raises UsageError."""
    run = source.run
    known = providers_of(run)
    words = parsed(query, ()).words
    chosen = words[0] if words else next(iter(known), "")
    if chosen not in known:
        raise UsageError(f"run {run.id} uses no provider {chosen!r}", hint=f"It uses: {', '.join(known) or 'none'}.")
    head = [run_facts(source)[0], _counts(run, chosen), *_trouble(source, chosen)]
    causes = [one for one in failure_causes(run, CAUSES_READ).items if one.provider == chosen]
    kinds = dict.fromkeys(FaultClass(one.kind) for one in causes)
    sections = (
        Section(
            "actions", f"find provider={name(chosen)}", [_latency(one) for one in latencies(source, chosen)], least=4
        ),
        Section(
            "causes",
            "find causes",
            [
                Fact(
                    "cause",
                    f"cause: {one.count} {one.kind}{f' {name(one.code)}' if one.code else ''}"
                    f"{f' in {name(one.place)}' if one.place else ''}: {fenced(one.message)} {ids(one.steps, 1)}",
                    tuple(source.evidence(run.index[step]) for step in one.steps[:1]),
                    one.count,
                )
                for one in causes[:ROWS_MOST]
            ],
            max(0, len(causes) - ROWS_MOST),
        ),
        Section("kinds of errors", "see docs/faults.md", [_meaning(kind) for kind in kinds]),
        Section("facts", f"show {name(chosen)}", list(_facts(run, chosen))),
        Section("other providers", "find providers", [Fact("other", f"other: {ids(known, 5)}")] if known[1:] else []),
    )
    return fit("provider", run.id, run.seq, budget, head, sections)


def _own(run: Run, provider: str) -> Iterator[int]:
    return (i for i, step in enumerate(run.steps) if step.provider == provider and step.counted)


def _counts(run: Run, provider: str) -> Fact:
    states = [run.records[i].state for i in _own(run, provider)]
    done, failed = states.count(StepState.SUCCEEDED), states.count(StepState.FAILED)
    retries, throttles = run.provider_retries.get(provider, 0), run.provider_throttles.get(provider, 0)
    text = f"provider {name(provider)}: {done} of {len(states)} steps succeeded, {failed} failed"
    return Fact("provider", f"{text}, {counted(retries, 'retry')}, {throttles} throttled", count=len(states))


def _trouble(source: RunSource, provider: str) -> Iterator[Fact]:
    run, around = source.run, source.around
    if provider in run.stopped_lanes:
        fault = run.stopped_lanes[provider]
        yield Fact("stopped", f"stopped: {fault.kind}: {fenced(fault.message)}")
    if provider in around.unheard:
        yield Fact("silent", f"does not answer: {fenced(around.unheard[provider])}")
    elif provider in around.lanes:
        yield Fact("held", f"held up: {fenced(around.lanes[provider])}")


def _seconds(run: Run, provider: str) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {}
    for i in _own(run, provider):
        record = run.records[i]
        if record.state is StepState.SUCCEEDED and record.attempt_at and record.ended_at:
            took.setdefault(run.steps[i].action, []).append(record.ended_at - record.attempt_at)
    return {action: sorted(each) for action, each in sorted(took.items())}


def _rank(ordered: Sequence[float], share: float) -> float:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def _latency(one: Latency) -> Fact:
    text = (
        f"{one.action}: {counted(one.steps, 'step')}, median {duration(one.p50)}, 95 of 100 within {duration(one.p95)}"
    )
    if one.before:
        ratio = one.p50 / one.before
        slow = ", slower" if ratio >= SLOWER else ""
        text += f", last good run {duration(one.before)} ({ratio:.1f} times{slow})"
    return Fact("latency", text, count=one.steps)


def _meaning(kind: FaultClass) -> Fact:
    policy = POLICIES[kind]
    then = "stops the account" if policy.stops_lane else "is tried again" if policy.retry else "is not tried again"
    return Fact("meaning", f"{kind} means {MEANING[kind]}; it {then}")


def _facts(run: Run, provider: str) -> Iterator[Fact]:
    for one in run.plan.providers:
        if one.name == provider:
            text = f"account {name(one.account)}; repeated creates are kept apart by {one.guard}"
            yield Fact("account", f"{text}; a call takes effect within {duration(one.settle_seconds)}")
