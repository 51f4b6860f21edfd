"""How many servers an environment may have, what they may cost, and how many a run may destroy. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from batchwright.model.diagnostic import Diagnostic

EXCEEDED, UNCHECKED = "limit-exceeded", "limit-unchecked"
CURRENCY = re.compile("[A-Z]{3}")
LEAST = 1e-9  # what two sums of prices may differ by without one being larger
NAMES_SHOWN = 5


class GuardrailLimits(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Limits of one environment; None where there is none.

    `servers`: how many it may have after a run. `cost_per_hour`: what they may cost together, by currency. `destroys`:
    how many servers a run may destroy.

    >>> GuardrailLimits(servers=5, cost_per_hour={"EUR": 0.5}).destroys is None
    True
    """

    servers: int | None = None
    cost_per_hour: dict[str, float] | None = None
    destroys: int | None = None

    def __post_init__(self) -> None:
        for name in ("servers", "destroys"):
            number = getattr(self, name)
            if number is not None and number < 0:
                raise ValueError(f"{name} is {number}: it must be 0 or more")
        for currency, amount in (self.cost_per_hour or {}).items():
            if not CURRENCY.fullmatch(currency):
                raise ValueError(f"cost_per_hour has {currency!r}, which is no currency: write {{ EUR = 0.5 }}")
            if not 0 <= amount < float("inf"):
                raise ValueError(f"cost_per_hour.{currency} is {amount}: it must be 0 or more")


NO_LIMITS = GuardrailLimits()


class LimitsSource(Struct, frozen=True):
    """Limits and where they are set: `place` for people, up to the limit's name, `where` for the position in a file."""

    limits: GuardrailLimits
    place: str
    where: str = "environment"

    def problem(self, code: str, limit: str, message: str, hint: str) -> Diagnostic:
        """A plan that does not keep this limit, or for which it cannot be checked."""
        return Diagnostic(code, message, hint, where=self.where, field=limit)


class Impact(Struct, frozen=True):
    """What a plan makes of an environment, as far as limits are concerned.

    `before` and `after` are how many servers it has, `most` how many while replaced servers and new ones both stand;
    `destroyed` the names of the servers that go. `cost_before`, `cost` and `cost_most` are what they cost per hour, by
    currency. `unpriced` says for which servers no price is known, and why. `changes` is false for a plan that creates
    no server and makes none larger or smaller.
    """

    before: int
    after: int
    destroyed: tuple[str, ...] = ()
    cost_before: Mapping[str, float] = {}
    cost: Mapping[str, float] = {}
    most: int = 0
    cost_most: Mapping[str, float] = {}
    unpriced: tuple[str, ...] = ()
    changes: bool = True


def broken_limits(sources: Sequence[LimitsSource], impact: Impact, *, growth: bool = False) -> list[Diagnostic]:
    """Every limit that the plan does not keep; of several sources of one limit the strictest is told.

    What does not grow passes, whatever the limit: a plan that takes something away must always be possible. With
    `growth` only what limits growth is judged, and not how much is destroyed.
    """
    found = [*_servers(sources, impact), *_cost(sources, impact)]
    return found if growth else [*found, *_destroys(sources, impact)]


def _strictest(sources: Iterable[LimitsSource], name: str) -> tuple[int, LimitsSource] | None:
    set_ones = [(getattr(one.limits, name), one) for one in sources if getattr(one.limits, name) is not None]
    return min(set_ones, key=lambda pair: pair[0], default=None)


def _servers(sources: Sequence[LimitsSource], impact: Impact) -> list[Diagnostic]:
    found = _strictest(sources, "servers")
    most = max(impact.after, impact.most)
    if found is None or most <= max(found[0], impact.before):
        return []
    limit, source = found
    while_ = " while servers are replaced" if most > impact.after else ""
    message = f"the environment would have {_counted(most, 'server')}{while_}; {source.place}servers = {limit}"
    hint = "Ask for fewer servers, or retire others first; else raise that limit."
    return [source.problem(EXCEEDED, "servers", message, hint)]


def _destroys(sources: Sequence[LimitsSource], impact: Impact) -> list[Diagnostic]:
    found, number = _strictest(sources, "destroys"), len(impact.destroyed)
    if found is None or number <= found[0]:
        return []
    limit, source = found
    names = _listed(impact.destroyed)
    message = f"this would destroy {_counted(number, 'server')} ({names}); {source.place}destroys = {limit}"
    hint = "Destroy them in several runs, each within the limit; else raise that limit."
    return [source.problem(EXCEEDED, "destroys", message, hint)]


def _cost(sources: Sequence[LimitsSource], impact: Impact) -> list[Diagnostic]:
    limited = [one for one in sources if one.limits.cost_per_hour is not None]
    if not limited or not impact.changes:
        return []
    if impact.unpriced:
        source = limited[0]
        message = f"{source.place}cost_per_hour, which cannot be checked: {_listed(impact.unpriced)}"
        hint = "Use a provider that tells its prices, or remove that limit and set `servers` instead."
        return [source.problem(UNCHECKED, "cost_per_hour", message, hint)]
    problems = []
    for currency, amount in sorted({**impact.cost, **impact.cost_most}.items()):
        if amount <= impact.cost_before.get(currency, 0.0) + LEAST:
            continue
        missing = [one for one in limited if currency not in (one.limits.cost_per_hour or {})]
        allowed = [(limits[currency], one) for one in limited if currency in (limits := one.limits.cost_per_hour or {})]
        strictest = min(allowed, key=lambda pair: pair[0], default=None)
        if missing:
            known = " and ".join(sorted(missing[0].limits.cost_per_hour or {})) or "no currency"
            message = (
                f"the environment would cost {amount:.4g} {currency} per hour; {missing[0].place}cost_per_hour for "
                f"{known} only, and currencies are not converted"
            )
            hint = f"Add a limit for it there: {currency} = {amount:.4g}"
            problems.append(missing[0].problem(UNCHECKED, "cost_per_hour", message, hint))
        elif strictest is not None and amount > strictest[0] + LEAST:
            limit, source = strictest
            message = (
                f"the environment would cost {amount:.4g} {currency} per hour; {source.place}cost_per_hour = "
                f"{limit:.4g} {currency}"
            )
            hint = "Ask for fewer or smaller servers; else raise that limit."
            problems.append(source.problem(EXCEEDED, "cost_per_hour", message, hint))
    return problems


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
