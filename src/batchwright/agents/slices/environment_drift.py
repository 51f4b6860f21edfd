"""How an environment differs from what its runs asked for, the gravest differences first."""

from __future__ import annotations

from collections.abc import Iterator

from batchwright.agents.slices.base import Fact, Slice
from batchwright.agents.slices.run_source import parsed
from batchwright.agents.slices.token_budget import Section, fit
from batchwright.agents.slices.untrusted_text import fenced, name
from batchwright.views.drift import ORPHAN, DriftItem, DriftState, EnvironmentDrift

MORE = "batchwright drift ENVIRONMENT"


def drift_slice(source: EnvironmentDrift, query: str, budget: int) -> Slice:
    """The differences of an environment. Raises UsageError."""
    parsed(query, ())
    counts = ", ".join(f"{source.counts.get(state, 0)} {state}" for state in DriftState)
    head = [Fact("drift", f"environment {name(source.environment)}: {counts}; its newest run is {name(source.run)}")]
    if source.changing:
        head.append(Fact("changing", f"run {name(source.changing)} is changing it now: differences may be its work"))
    drifted = [one for one in source.items if one.state is DriftState.DRIFTED]
    drifted.sort(key=lambda one: (not one.trouble, one.kind != ORPHAN, one.name))
    sections = (
        Section("differences", MORE, [fact for one in drifted for fact in _difference(one)], least=5),
        Section("things that could not be looked at", MORE, list(_of(source, DriftState.UNKNOWN, "not seen"))),
        Section("accepted differences", MORE, list(_of(source, DriftState.ACCEPTED, "accepted"))),
    )
    return fit("drift", source.run, 0, budget, head, sections)


def _title(one: DriftItem) -> str:
    on = f" on {name(one.server)}" if one.server and one.server != one.name else ""
    at = f" at {name(one.provider)}" if one.provider else ""
    ref = f" ref {name(one.ref)}" if one.ref else ""
    return f"{one.kind} {name(one.name)}{on}{at}{ref}"


def _difference(one: DriftItem) -> Iterator[Fact]:
    parts = [fenced(one.trouble)] if one.trouble else []
    parts += [f"{name(field.field)} {fenced(field.expected, 80)} is {fenced(field.found, 80)}" for field in one.fields]
    parts += [f"would change {fenced(change, 120)}" for change in one.changes]
    parts += [f"check fails {fenced(check.name, 80)}" for check in one.failed_checks]
    yield Fact("difference", f"{_title(one)}: {'; '.join(parts) or 'differs'}")


def _of(source: EnvironmentDrift, state: DriftState, word: str) -> Iterator[Fact]:
    for one in source.items:
        if one.state is state:
            why = one.reason or one.trouble
            yield Fact(word, f"{word}: {_title(one)}{f': {fenced(why, 120)}' if why else ''}")
