"""Proposed changes as people see them: what each would do, who wants it, who has decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from batchwright.model.lifecycle import StepState
from batchwright.model.proposal import Proposal, ProposedAction
from batchwright.model.run import Run
from batchwright.providers.base import Quote
from batchwright.views.plan import PlanView
from batchwright.views.planned_changes import condensed, counts_words
from batchwright.views.text_format import counted, duration, one_line, some

LINES_MOST = 20


class ProposalView(Struct, frozen=True):
    """One proposal. `state` is open, approved, refused or applied; times are seconds since the epoch.

    `lines` say what it would do, `destroys` how many servers go. `run` is the run that it acts on, `seq` the last event
    that it was made for; `applied` is the run that carried it out.
    """

    hash: str
    action: ProposedAction
    environment: str
    state: str
    lines: tuple[str, ...]
    destroys: int
    by: str
    at: float
    until: float
    run: str = ""
    seq: int = 0
    decided_by: str = ""
    comment: str = ""
    applied: str = ""


def proposal_view(one: Proposal) -> ProposalView:
    """The view of a proposal, without the workflow's text."""
    decision = one.decision
    state = "applied" if one.applied else "open" if decision is None else "approved" if decision.yes else "refused"
    return ProposalView(
        *(one.hash, one.action, one.environment, state, one.lines, one.destroys, one.by, one.at, one.until),
        *(one.run, one.seq),
        decision.name if decision is not None else "",
        decision.comment if decision is not None else "",
        one.applied,
    )


def plan_lines(view: PlanView, quotes: Mapping[str, Quote] = {}) -> tuple[str, ...]:
    """What a plan would do: the counts, then each change, then the time and the price."""
    lines = [f"{one.symbol} {one.what}: {'; '.join(one.details)}".removesuffix(": ") for one in view.lines]
    prices = [f"{price.per_hour:.4g} {price.currency} per hour at {name}" for name, price in quotes.items()]
    cost = f", {some(prices, len(prices))}" if prices else ""
    title = f"run {view.workflow} {one_line(view.version)} on {view.environment}: {counts_words(view.difference)}"
    return _bounded((title, *lines, f"takes about {duration(view.estimate.least)}{cost}"))


def undo_lines(undo: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """What a rollback would do: pairs of the kind of undo and the step."""
    names: dict[str, list[str]] = {}
    for kind, step in undo:
        names.setdefault(kind, []).append(step)
    return _bounded(("roll back", *(f"{what} {len(steps)}: {condensed(steps)}" for what, steps in names.items())))


def unfinished_lines(run: Run) -> tuple[str, ...]:
    """What a resumed run has still to do, by operation."""
    records = zip(run.steps, run.records, strict=True)
    left = Counter(step.operation for step, record in records if record.state is not StepState.SUCCEEDED)
    title = f"resume run {run.id}: {counted(left.total(), 'step')} left"
    return _bounded((title, *(f"{operation}: {counted(steps, 'step')}" for operation, steps in left.items())))


def _bounded(lines: Sequence[str]) -> tuple[str, ...]:
    shown = [one_line(line) for line in lines]
    if len(shown) <= LINES_MOST:
        return tuple(shown)
    return (*shown[: LINES_MOST - 2], f"and {counted(len(shown) - LINES_MOST + 1, 'more line')}", shown[-1])


def proposal_words(one: ProposalView, now: float) -> tuple[str, ...]:
    """A proposal in lines for a terminal."""
    state = {
        "open": f"open for another {duration(one.until - now)}",
        "approved": f"approved by {one.decided_by}, open for another {duration(one.until - now)}",
        "refused": f"refused by {one.decided_by}",
        "applied": f"carried out by run {one.applied}, approved by {one.decided_by}",
    }[one.state]
    why = f": {one_line(one.comment)}" if one.comment else ""
    return f"{one.hash}  {one.by} proposes to {one.action}: {state}{why}", *(f"  {line}" for line in one.lines)
