"""What a slice about a plan is computed from."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from batchwright.agents.slices.base import Evidence, Fact
from batchwright.agents.slices.untrusted_text import fenced, name
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.environment import EnvironmentKey
from batchwright.model.plan import Plan
from batchwright.views.planned_changes import counts, counts_words, symbols
from batchwright.views.text_format import counted


class PlanSource(Struct, frozen=True):
    """A plan, or the diagnostics that say why there is none. `subject` is the file or the run that it is of.

    `per_hour` is what its new servers cost, by currency, as far as prices are known; `unpriced` are the providers that
    say none. `past` are the seconds that the newest completed runs of its environment took.
    """

    subject: str
    plan: Plan | None
    diagnostics: tuple[Diagnostic, ...] = ()
    per_hour: Mapping[str, float] = {}
    unpriced: tuple[str, ...] = ()
    past: tuple[float, ...] = ()


def plan_fact(source: PlanSource) -> Fact:
    """The line that says which plan it is, and what it changes in all."""
    plan = source.plan
    if plan is None:
        return Fact(
            "plan", f"no plan for {name(source.subject)}: {counted(errors(source), 'problem')}", count=errors(source)
        )
    total = counts_words(counts(symbols(plan)))
    simulated = ", simulated" if plan.simulation is not None else ""
    title = f"plan {plan.hash()} of {name(EnvironmentKey.of(plan).name)} {name(plan.version)}{simulated}: {total}"
    return Fact("plan", title)


def errors(source: PlanSource) -> int:
    """How many problems there are, warnings not counted."""
    return sum(one.severity is Severity.ERROR for one in source.diagnostics)


def problems(source: PlanSource) -> list[Fact]:
    """What is wrong, errors first, each with its place and what to do."""
    ordered = sorted(source.diagnostics, key=lambda one: one.severity is not Severity.ERROR)
    return [_problem(one) for one in ordered]


def _problem(one: Diagnostic) -> Fact:
    label = "problem" if one.severity is Severity.ERROR else "warning"
    place = f" {name(one.file.rpartition('/')[2])}:{one.line}:{one.column}" if one.file else ""
    about = f" {name(one.where)}" if one.where else ""
    hint = f" hint {fenced(one.hint, 160)}" if one.hint else ""
    text = f"{label} {one.code}{place}{about}: {fenced(one.message)}{hint}"
    return Fact(label, text, (Evidence(0, one.where, one.line),))
