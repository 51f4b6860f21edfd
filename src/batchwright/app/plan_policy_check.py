"""A plan judged by the operator's policy file. What cannot be judged is refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from batchwright.errors import BatchwrightError
from batchwright.loader.policy_file import PolicyAnswer, read_policy
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.environment import EnvironmentKey
from batchwright.model.plan import Plan
from batchwright.model.plan_policy import FAILED, INVALID, WHERE, JudgedPlan, PolicyRule, judged, rules_of

REFUSED = "so no plan is accepted"


def judge(file: Path, plan: Plan, data: Mapping[str, Any], now: float) -> list[Diagnostic]:
    """What the rules in a file have against a plan, whose data this is, at a time in seconds since the epoch."""
    try:
        answer = read_policy(file, file.name, plan=data)
    except BatchwrightError as error:
        message = f"the policy {file.name} cannot be used, {REFUSED}: {error.message}"
        return [Diagnostic(INVALID, message, error.hint, where=WHERE)]
    rules, mistakes = checked(file.name, answer)
    if mistakes:
        return mistakes
    operations = {one["name"]: one["operation"] for one in data["servers"]}
    today = datetime.fromtimestamp(now, UTC).date()
    found = judged(rules, answer.results, JudgedPlan(EnvironmentKey.of(plan).name, operations, today))
    return [*(_failure(name, why) for name, why in answer.failures.items()), *found]


def checked(name: str, answer: PolicyAnswer) -> tuple[list[PolicyRule], list[Diagnostic]]:
    """The rules of a file, or what is wrong with it."""
    if answer.rules is None:
        errors = [one for one in answer.mistakes if one.severity is Severity.ERROR]
        message = f"the policy {name} has {len(errors)} mistake{'' if len(errors) == 1 else 's'}, {REFUSED}"
        hint = "Correct them; batchwright policy check tells when it is done."
        return [], [Diagnostic(INVALID, message, hint, where=WHERE), *answer.mistakes]
    try:
        return rules_of(answer.rules), []
    except ValueError as error:
        hint = 'Write a day as "2026-12-31".'
        return [], [Diagnostic(INVALID, f"the policy {name} has a mistake, {REFUSED}: {error}", hint, where=WHERE)]


def _failure(rule: str, why: Diagnostic) -> Diagnostic:
    """That a rule gave nothing."""
    message = f"the rule {rule} cannot be evaluated, {REFUSED}: {why.message}"
    return replace(why, code=FAILED, message=message, severity=Severity.ERROR)
