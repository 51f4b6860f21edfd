"""The operator's rules about plans: what they give, until when they only warn, and what they pass over. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchwright.model.diagnostic import Diagnostic, Severity

DENIED, WARNED = "policy-denied", "policy-warning"
INVALID, FAILED = "policy-invalid", "policy-failed"
WHERE = "policy"
VIOLATIONS_MOST = 20  # told of one rule
MESSAGE_MAX = 500  # characters
RESULT_HINT = "It gives an array of messages, each a text or { message, at }; or true or false, and has a `message`."


class Violation(Struct, frozen=True, forbid_unknown_fields=True):
    """What a rule has against a plan. `at` names the server or the operation that it is about."""

    message: str
    at: str = ""


class PolicyException(Struct, frozen=True):
    """What a rule passes over until the end of a day (UTC): everything that is named must fit."""

    reason: str
    end: date
    server: str = ""
    operation: str = ""
    environment: str = ""

    def fits(self, violation: Violation, environment: str, operations: Mapping[str, str]) -> bool:
        """Whether it is for this violation; `operations` has the operation of each server."""
        return (
            self.environment in ("", environment)
            and self.server in ("", violation.at)
            and self.operation in ("", violation.at, operations.get(violation.at, ""))
        )


class PolicyRule(Struct, frozen=True):
    """A rule. One that denies only warns before the day `start` (UTC)."""

    name: str
    denies: bool
    message: str = ""
    start: date | None = None
    exceptions: tuple[PolicyException, ...] = ()

    def acts_on(self, today: date) -> bool:
        """Whether a violation refuses the plan today."""
        return self.denies and (self.start is None or today >= self.start)


class JudgedPlan(Struct, frozen=True):
    """What exceptions are about: the environment, the operation of each server, and today's date in UTC."""

    environment: str
    operations: Mapping[str, str]
    today: date


def rules_of(written: Mapping[str, Mapping[str, Any]]) -> list[PolicyRule]:
    """The rules of a policy file that keeps its contract. Raises ValueError, naming a day that no calendar has."""
    rules = []
    for name, fields in written.items():
        try:
            start = date.fromisoformat(fields["from"]) if "from" in fields else None
            exceptions = tuple(
                PolicyException(**{**one, "end": date.fromisoformat(one["end"])}) for one in fields["exceptions"]
            )
        except ValueError as error:
            raise ValueError(f"the rule {name} names a day that no calendar has: {error}") from None
        rules.append(PolicyRule(name, "deny" in fields, fields.get("message", ""), start, exceptions))
    return rules


def violations(rule: PolicyRule, result: Any) -> list[Violation]:
    """What a rule's function gave, in one form. Raises ValueError if it is something else."""
    if isinstance(result, bool):
        if result and not rule.message:
            raise ValueError("it gives true, and has no `message`")
        return [Violation(rule.message)] if result else []
    try:
        given = msgspec.convert(result, list[str | Violation])
    except msgspec.ValidationError as error:
        raise ValueError(f"it gives something else than messages: {error}") from None
    return [Violation(one) if isinstance(one, str) else one for one in given]


def judged(rules: Iterable[PolicyRule], results: Mapping[str, Any], plan: JudgedPlan) -> list[Diagnostic]:
    """What the rules have against a plan. A rule whose result makes no sense is an error."""
    found: list[Diagnostic] = []
    for rule in rules:
        if rule.name not in results:
            continue  # why it has none is told elsewhere
        try:
            own = violations(rule, results[rule.name])
        except ValueError as error:
            found.append(Diagnostic(FAILED, f"the rule {rule.name} cannot be used: {error}", RESULT_HINT, where=WHERE))
            continue
        told = [one for each in own if (one := _told(rule, each, plan)) is not None]
        found += told[:VIOLATIONS_MOST]
        if len(told) > VIOLATIONS_MOST:
            message = f"and {len(told) - VIOLATIONS_MOST} more ({rule.name})"
            found.append(replace(told[0], message=message, hint="", notes=(), where=WHERE))
    return found


def _told(rule: PolicyRule, violation: Violation, plan: JudgedPlan) -> Diagnostic | None:
    fitting = [one for one in rule.exceptions if one.fits(violation, plan.environment, plan.operations)]
    if any(plan.today <= one.end for one in fitting):
        return None
    acts = rule.acts_on(plan.today)
    message = violation.message
    message = message if len(message) <= MESSAGE_MAX else f"{message[:MESSAGE_MAX]}... ({len(message)} characters)"
    later = f"; from {rule.start} on this is refused" if rule.denies and not acts else ""
    return Diagnostic(
        DENIED if acts else WARNED,
        f"{message} (rule {rule.name}{later})",
        severity=Severity.ERROR if acts else Severity.WARNING,
        notes=_expired(fitting),
        where=violation.at or WHERE,
    )


def _expired(fitting: Sequence[PolicyException]) -> tuple[str, ...]:
    return tuple(f"An exception for it ended on {one.end}: {one.reason}" for one in fitting)
