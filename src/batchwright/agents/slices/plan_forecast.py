"""How a plan would go: its stages, its longest path, what each account has to make, its time and its cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from batchwright.agents.slices.base import Evidence, Fact, Slice
from batchwright.agents.slices.plan_source import PlanSource, plan_fact, problems
from batchwright.agents.slices.run_source import ids, parsed
from batchwright.agents.slices.token_budget import Section, fit
from batchwright.agents.slices.untrusted_text import fenced, name
from batchwright.model.plan import Plan
from batchwright.plan.critical_path import Estimate, estimate
from batchwright.views.plan import plan_view
from batchwright.views.planned_changes import Symbol, symbols
from batchwright.views.text_format import counted, duration

MORE = "batchwright plan --steps"


def forecast_slice(source: PlanSource, query: str, budget: int) -> Slice:
    """How a plan would go, or what keeps it from being made. Raises UsageError."""
    parsed(query, ())
    plan = source.plan
    if plan is None:
        found = Section("problems", "batchwright validate FILE", problems(source), least=5)
        return fit("plan_forecast", "", 0, budget, [plan_fact(source)], [found])
    expected = estimate(plan)
    sections = (
        Section("accounts", MORE, list(_accounts(plan)), least=4),
        Section("stages", MORE, list(_stages(plan)), least=3),
        Section("steps of the longest path", MORE, _path(plan, expected)),
        Section("warnings", MORE, problems(source)),
        Section("notes", MORE, [Fact("note", f"note: {fenced(one)}") for one in plan_view(plan).notes]),
    )
    return fit(
        "plan_forecast",
        "",
        0,
        budget,
        [plan_fact(source), _time(plan, expected), *_past(source), _cost(source)],
        sections,
    )


def creates(plan: Plan) -> dict[str, int]:
    """How many servers each account has to make."""
    found = zip(plan.steps, symbols(plan), strict=True)
    made = Counter(
        step.provider for step, symbol in found if symbol in (Symbol.CREATE, Symbol.REPLACE) and step.traits.sweeps
    )
    return dict(sorted(made.items()))


def stages(plan: Plan) -> list[list[str]]:
    """The operations in stages: each begins once one of the stage before has ended."""
    level: dict[str, int] = {}
    for op in plan.operations:
        level[op.id] = 1 + max((level[one.id] for one in op.dependencies), default=-1)
    found: list[list[str]] = [[] for _ in range(1 + max(level.values(), default=-1))]
    for own, at in level.items():
        found[at].append(own)
    return found


def _time(plan: Plan, expected: Estimate) -> Fact:
    path = f"longest path {duration(expected.critical_seconds)} of {counted(len(expected.critical_path), 'step')}"
    limit = f"parallel_limit {plan.parallel_limit}"
    held = ", which the limit holds up" if expected.least > expected.critical_seconds else ""
    return Fact("time", f"takes at least {duration(expected.least)}: {path}, {limit}{held}")


def _past(source: PlanSource) -> Iterator[Fact]:
    if source.past:
        took = sorted(source.past)
        number = counted(len(took), "completed run")
        yield Fact("past", f"{number} before: median {duration(took[len(took) // 2])}, longest {duration(took[-1])}")


def _cost(source: PlanSource) -> Fact:
    costs = ", ".join(f"{amount:g} {name(currency)}" for currency, amount in source.per_hour.items())
    unknown = f"; no price known at {ids(source.unpriced)}" if source.unpriced else ""
    return Fact("cost", f"costs {costs} an hour for new servers{unknown}" if costs else f"costs: not known{unknown}")


def _accounts(plan: Plan) -> Iterator[Fact]:
    for provider, number in creates(plan).items():
        yield Fact("account", f"creates {counted(number, 'server')} at {name(provider)}", count=number)


def _stages(plan: Plan) -> Iterator[Fact]:
    steps = Counter(step.operation for step in plan.steps if step.counted)
    for at, operations in enumerate(stages(plan), 1):
        number = sum(steps[one] for one in operations)
        yield Fact("stage", f"stage {at}: {ids(operations, 5)}, {counted(number, 'step')}", count=number)


def _path(plan: Plan, expected: Estimate) -> Sequence[Fact]:
    seconds = {step.id: step.seconds for step in plan.steps}
    return [
        Fact("path", f"longest path: {name(one)} {duration(seconds[one])}", (Evidence(0, one),))
        for one in expected.critical_path
    ]
