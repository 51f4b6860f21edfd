"""Fits ranked sections of facts into a budget of tokens, and says of each what was left out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from msgspec import Struct

from batchwright.agents.slices.base import Fact, Omitted, Slice
from batchwright.agents.slices.token_estimate import estimated_tokens
from batchwright.errors import UsageError
from batchwright.views.text_format import counted_of

LEAST_BUDGET, MOST_BUDGET = 100, 50_000  # tokens
LARGER = "ask with a larger budget"


class Section(Struct, frozen=True):
    """Facts of one kind, the most important first.

    `what` names them in the plural, for what is left out; `how` asks for the rest, `{shown}` in it standing for how
    many there are already, with the `begin` before these. `hidden` are those that are not even in `facts`. The first
    `least` facts come before any other section gets more than its own first ones. `weighed`: what is left out is
    counted by the `count` of the facts.
    """

    what: str
    how: str
    facts: Sequence[Fact]
    hidden: int = 0
    least: int = 1
    weighed: bool = False
    begin: int = 0

    def rest(self, shown: int) -> Omitted | None:
        """What is left out if so many facts are shown."""
        there = sum(fact.count for fact in self.facts[shown:]) if self.weighed else len(self.facts) - shown
        left = there + self.hidden
        return Omitted(self.what, left, self.how.replace("{shown}", str(self.begin + shown))) if left else None


def fit(kind: str, run: str, seq: int, budget: int, head: Sequence[Fact], sections: Sequence[Section]) -> Slice:
    """The slice of these facts; the sections stand in the order of their importance.

    Raises UsageError for a budget that nothing fits in.
    """
    if not LEAST_BUDGET <= budget <= MOST_BUDGET:
        raise UsageError(f"a budget of {budget} tokens", hint=f"Give one from {LEAST_BUDGET} to {MOST_BUDGET:,}.")
    facts = _fitting(head, budget - _cost(_whole_sections(99)))
    unsaid = len(head) - len(facts)
    lines = [fact.text for fact in facts]
    filled = [one for one in sections if one.facts or one.hidden]
    shown = _Allotment(filled, budget - sum(map(_cost, lines)), begun=unsaid > 0).shared()
    omitted = [Omitted("lines", unsaid, LARGER)] if unsaid else []
    for section, number in zip(filled, shown, strict=True):
        fitting = section.facts[: max(0, number)]
        facts += fitting
        lines += [fact.text for fact in fitting]
        if rest := section.rest(max(0, number)):
            omitted.append(rest)
            if number >= 0:
                lines.append(omission(rest))
            else:
                unsaid += 1
    if unsaid:
        lines.append(_whole_sections(unsaid))
    text = "\n".join(lines) + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Slice(kind, run, text, tuple(facts), tuple(omitted), estimated_tokens(text), budget, seq, digest)


def omission(rest: Omitted) -> str:
    """The line for what is left out."""
    return f"omitted {counted_of(rest.count, rest.what)}: {rest.how}"


def _whole_sections(number: int) -> str:
    return f"omitted {number} more: {LARGER}"


def _cost(line: str) -> int:
    return estimated_tokens(line + "\n")


def _fitting(head: Sequence[Fact], budget: int) -> list[Fact]:
    """The first facts of the head, as many as fit."""
    shown = list(head)
    while shown and sum(_cost(fact.text) for fact in shown) > budget:
        shown.pop()
    return shown


class _Allotment:
    """How many facts of each section fit; -1: not even the line that says what is left out of it.

    `begun`: something is left out already, so that the line which says so is needed.
    """

    def __init__(self, sections: Sequence[Section], left: int, *, begun: bool) -> None:
        self._sections = sections
        self._left = left
        self._begun = begun
        self._shown = [-1] * len(sections)

    def shared(self) -> list[int]:
        """Share the budget out, in the order of the sections."""
        bare = [self._omission_cost(at, 0) for at in range(len(self._sections))]
        if self._begun or sum(bare) > self._left:
            self._left -= _cost(_whole_sections(99))
        for at, cost in enumerate(bare):
            if cost <= self._left:
                self._shown[at], self._left = 0, self._left - cost
        growing = [at for at, number in enumerate(self._shown) if number == 0]
        for at in growing:
            while self._shown[at] < self._sections[at].least and self._grows(at):
                pass
        while growing:
            growing = [at for at in growing if self._grows(at)]
        return self._shown

    def _grows(self, at: int) -> bool:
        """Show one fact more of a section, if it fits."""
        section, number = self._sections[at], self._shown[at]
        if number == len(section.facts):
            return False
        more = self._omission_cost(at, number + 1) - self._omission_cost(at, number)
        cost = _cost(section.facts[number].text) + more
        if cost > self._left:
            return False
        self._shown[at], self._left = number + 1, self._left - cost
        return True

    def _omission_cost(self, at: int, shown: int) -> int:
        rest = self._sections[at].rest(shown)
        return _cost(omission(rest)) if rest else 0
