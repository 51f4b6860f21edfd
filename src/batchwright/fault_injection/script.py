"""Scripted faults: `web-02`, `db-*=capacity`, `web-01=transient:2`, several of them with commas between."""

from __future__ import annotations

from fnmatch import fnmatchcase

from msgspec import Struct

from batchwright.errors import UsageError
from batchwright.model.did_you_mean import close_matches
from batchwright.model.fault import FaultClass

_OLD_EFFECTS = {"lost": "lost_answers", "late": "late_commits"}  # as earlier versions called them


class Rule(Struct, frozen=True):
    """The effect on calls whose names match; `times` is for how many attempts, 0 for all."""

    pattern: str
    effect: str
    times: int


class FaultScript(Struct, frozen=True):
    """Rules in order; the first that matches decides."""

    rules: tuple[Rule, ...] = ()

    @classmethod
    def parse(cls, setting: str, text: str, effects: tuple[str, ...]) -> FaultScript:
        """Read PATTERN[=EFFECT][:TIMES], ... Raises UsageError that names the setting."""
        return cls(tuple(_rule(setting, part.strip(), effects) for part in text.split(",") if part.strip()))

    def then(self, other: FaultScript) -> FaultScript:
        """A script with the rules of both; those of `self` are tried first."""
        return FaultScript(self.rules + other.rules)

    def mentions(self, effect: str) -> bool:
        """Whether a rule has this effect."""
        return any(rule.effect == effect for rule in self.rules)

    def effect(self, names: tuple[str, ...], attempt: int) -> str:
        """The effect on this attempt at an object with these names; "" for none."""
        for rule in self.rules:
            if (not rule.times or attempt <= rule.times) and any(fnmatchcase(name, rule.pattern) for name in names):
                return rule.effect
        return ""


NO_SCRIPT = FaultScript()


def _rule(setting: str, text: str, effects: tuple[str, ...]) -> Rule:
    rest, _, times = text.partition(":")
    pattern, _, effect = rest.partition("=")
    effect = _OLD_EFFECTS.get(effect, effect) or str(FaultClass.PERMANENT)
    if not pattern or (times and not (times.isascii() and times.isdigit() and int(times) > 0)):
        raise UsageError(
            f"{setting} = {text}: expected NAME, NAME=EFFECT or NAME=EFFECT:TIMES",
            hint=f"For example: {setting}=web-02, {setting}=web-*=capacity:2",
        )
    if effect not in effects:
        near = close_matches(effect, effects, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Effects: {', '.join(effects)}"
        raise UsageError(f"{setting} = {text}: there is no effect {effect}", hint=hint)
    return Rule(pattern, effect, int(times or 0))
