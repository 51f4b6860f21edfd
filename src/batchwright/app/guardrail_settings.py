"""The operator's guardrails in config.toml: limits of environments, and the policy file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from batchwright.errors import ConfigInvalid
from batchwright.model.did_you_mean import close_matches
from batchwright.model.guardrail_limits import NO_LIMITS, GuardrailLimits, LimitsSource
from batchwright.regular_files import contents
from batchwright.user_home import expanded

LIMITS = GuardrailLimits.__struct_fields__
DOC = "docs/guardrails.md has an example."


class Guardrails(Struct, frozen=True):
    """What the operator has set. `environments` are limits of single environments, which replace `limits` one by one.

    `policy` is the file with the rules, None if there is none.
    """

    limits: GuardrailLimits = NO_LIMITS
    environments: dict[str, GuardrailLimits] = {}
    policy: Path | None = None

    def limits_of(self, environment: str) -> tuple[LimitsSource, ...]:
        """The operator's limits for an environment, each with its place."""
        own = self.environments.get(environment, NO_LIMITS)
        rest = self.limits
        if own != NO_LIMITS:
            rest = GuardrailLimits(**{name: getattr(rest, name) for name in LIMITS if getattr(own, name) is None})
        return (
            LimitsSource(rest, "config.toml sets limits."),
            LimitsSource(own, f'config.toml sets limits."{environment}".'),
        )


def guardrails_of(found: Mapping[str, Any], place: Path) -> Guardrails:
    """The guardrails in what config.toml holds. Raises ConfigInvalid."""
    table, policy = found.get("limits", {}), found.get("policy", "")
    if not isinstance(table, dict):
        raise ConfigInvalid(f"{place} has a mistake: `limits` is a table: [limits]", hint=DOC)
    if not isinstance(policy, str):
        raise ConfigInvalid(f'{place} has a mistake: `policy` is the path of a file: policy = "rules.ncl"', hint=DOC)
    own = {name: value for name, value in table.items() if name in LIMITS}
    environments = {name: value for name, value in table.items() if name not in LIMITS}
    for name, value in environments.items():
        if not isinstance(value, dict):
            near = close_matches(name, LIMITS, n=1)
            hint = (
                f"Did you mean {near[0]}?" if near else f"Known: {', '.join(LIMITS)}; or a table for one environment."
            )
            raise ConfigInvalid(f"{place} has a mistake: there is no limit `{name}`, at `limits`", hint=hint)
    return Guardrails(
        _limits(own, "limits", place),
        {name: _limits(value, f'limits."{name}"', place) for name, value in environments.items()},
        place.parent / expanded(policy) if policy else None,
    )


def _limits(table: dict[str, Any], where: str, place: Path) -> GuardrailLimits:
    if not table:
        return NO_LIMITS
    try:
        return msgspec.convert(table, GuardrailLimits)
    except msgspec.ValidationError as error:
        told = str(error).replace(" - at `$.", f", at `{where}.").replace(" - at `$`", f", at `{where}`")
        hint = "Write an amount for each currency: cost_per_hour = { EUR = 0.5 }" if "cost_per_hour" in told else DOC
        raise ConfigInvalid(f"{place} has a mistake: {told}", hint=hint) from None


def guardrails_now(file: Path | None, before: Guardrails) -> Guardrails:
    """The guardrails as `file` has them now; `before` if there is no file to read. Raises ConfigInvalid.

    They are read again for each decision: the operator may change them while a service or a run goes on.
    """
    if file is None:
        return before
    try:
        return guardrails_of(tomllib.loads(contents(file).decode()), file)
    except (OSError, ValueError) as error:
        is_gone = isinstance(error, FileNotFoundError | NotADirectoryError)
        if is_gone and before == Guardrails():
            return before
        hint = "It had guardrails: put it back." if is_gone else "Correct it: it may have guardrails."
        raise ConfigInvalid(f"cannot read {file}: {error}", hint=hint) from error
