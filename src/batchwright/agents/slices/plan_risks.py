"""What a plan would do, by risk: what it destroys first, then what it replaces and what cannot be undone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from batchwright.agents.slices.base import Evidence, Fact, Slice
from batchwright.agents.slices.plan_source import PlanSource, plan_fact, problems
from batchwright.agents.slices.run_source import ids, parsed
from batchwright.agents.slices.token_budget import Section, fit
from batchwright.agents.slices.untrusted_text import fenced, name
from batchwright.model.actions import Doubt, Undo
from batchwright.model.plan import Plan, Step
from batchwright.views.plan import PlanView, plan_view
from batchwright.views.planned_changes import PlannedChangeLine, Symbol

RISKS = (
    Symbol.RETIRE,
    Symbol.REPLACE,
    Symbol.UPDATE,
    Symbol.MAYBE,
    Symbol.RUN,
    Symbol.CREATE,
    Symbol.ASK,
    Symbol.CHECK,
)
WORDS = {
    Symbol.RETIRE: "destroys",
    Symbol.REPLACE: "replaces",
    Symbol.UPDATE: "changes",
    Symbol.MAYBE: "may change",
    Symbol.RUN: "runs",
    Symbol.CREATE: "creates",
    Symbol.ASK: "asks",
    Symbol.CHECK: "checks",
}
MORE = "batchwright plan --steps"


def not_undone(plan: Plan) -> list[Step]:
    """The steps that change something and that nothing undoes."""
    return [
        step
        for step in plan.steps
        if step.undo is Undo.NOTHING
        and step.counted
        and not (step.existed or step.traits.only_looks or step.traits.holds)
    ]


def not_repeated(plan: Plan) -> list[Step]:
    """The commands that are not run again by themselves if their outcome is not known."""
    return [step for step in plan.steps if step.doubt is Doubt.ASK]


def risk_slice(source: PlanSource, query: str, budget: int) -> Slice:
    """A plan by risk, or what keeps it from being made. Raises UsageError."""
    parsed(query, ())
    plan = source.plan
    sections = [Section("problems", "batchwright validate FILE", problems(source), least=5)]
    if plan is not None:
        view = plan_view(plan)
        lines = sorted(view.lines, key=lambda one: RISKS.index(one.symbol))
        grave = [_change(one) for one in lines if one.symbol in RISKS[:2]]
        rest = [_change(one) for one in lines if one.symbol not in RISKS[:2]]
        sections = [
            Section("destroys or replacements", MORE, grave, least=10),
            *sections,
            Section("steps that nothing undoes", MORE, _steps("not undone", not_undone(plan))),
            Section("commands not to be repeated", MORE, _steps("not repeated", not_repeated(plan))),
            Section("changes", MORE, rest, least=3),
            Section("notes", MORE, list(_notes(view))),
        ]
    return fit("plan_risks", "", 0, budget, [plan_fact(source)], sections)


def _change(one: PlannedChangeLine) -> Fact:
    details = f": {fenced('; '.join(one.details))}" if one.details else ""
    what = one.what if one.what.isascii() and one.what.isprintable() and "<" not in one.what else fenced(one.what)
    kind = "destroys" if one.symbol in RISKS[:2] else "changes"
    return Fact(kind, f"{WORDS[one.symbol]} {what}{details}")


def _steps(what: str, steps: Sequence[Step]) -> list[Fact]:
    """One line for each operation."""
    groups: dict[str, list[str]] = {}
    for step in steps:
        groups.setdefault(step.operation, []).append(step.id)
    return [
        Fact(what, f"{what}: {len(found)} of {name(operation)}: {ids(found)}",
             tuple(Evidence(0, one) for one in found[:3]), len(found))
        for operation, found in groups.items()
    ]  # fmt: skip


def _notes(view: PlanView) -> Iterator[Fact]:
    for note in view.notes:
        yield Fact("note", f"note: {fenced(note)}")
