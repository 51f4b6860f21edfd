"""The results of checking and planning a workflow, and what the command line and the service answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from batchwright.errors import BatchwrightError, PlanRefused, WorkflowInvalid
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.plan import Plan
from batchwright.plan.plan_file import PlanBasis
from batchwright.providers.base import Quote
from batchwright.views.install_preview import InstallPreview
from batchwright.views.plan import PlanView
from batchwright.views.text_format import counted


class Planned(Struct, frozen=True):
    """A plan, or the diagnostics that say why there is none; with the price, if the providers tell prices.

    `worst_cost` is the most that its servers can cost per hour, by currency, if they can go elsewhere. `basis` is what
    the plan was made from.
    """

    plan: Plan | None
    diagnostics: tuple[Diagnostic, ...]
    quotes: dict[str, Quote] = {}
    is_valid: bool = True  # the file itself; what is wrong is the providers' or the machine's
    basis: PlanBasis = PlanBasis()
    worst_cost: dict[str, float] = {}

    def refusal(self) -> BatchwrightError:
        """The error that says why there is no plan, with all the reasons."""
        return plan_refused(self.diagnostics) if self.is_valid else workflow_invalid(self.diagnostics)


class ValidationAnswer(Struct, frozen=True):
    """The answer of `validate`. `workflow` is the evaluated workflow, None if it is not valid."""

    ok: bool
    workflow: dict[str, Any] | None
    diagnostics: tuple[Diagnostic, ...]


class PlanAnswer(Struct, frozen=True):
    """The answer of `plan`. `quotes` are prices by provider, as far as known; `changes` are those of `--check`.

    `worst_cost` is what its servers cost per hour at most, by currency, if some can go elsewhere.
    """

    ok: bool
    plan: PlanView | None
    diagnostics: tuple[Diagnostic, ...]
    quotes: dict[str, Quote] = {}
    changes: tuple[InstallPreview, ...] | None = None
    worst_cost: dict[str, float] = {}


def workflow_invalid(diagnostics: Sequence[Diagnostic]) -> WorkflowInvalid:
    """The error of a workflow with these mistakes."""
    return WorkflowInvalid(
        f"the workflow has {counted(_errors(diagnostics), 'mistake')}",
        hint="Nothing was changed. Correct it and try again.",
        diagnostics=tuple(diagnostics),
    )


def plan_refused(diagnostics: Sequence[Diagnostic]) -> PlanRefused:
    """The error of a valid workflow that cannot be planned."""
    found = counted(_errors(diagnostics), "problem")
    return PlanRefused(f"the pre-flight found {found}", diagnostics=tuple(diagnostics))


def _errors(diagnostics: Sequence[Diagnostic]) -> int:
    return sum(one.severity is Severity.ERROR for one in diagnostics)
