"""What checking and planning a workflow gives, and what the command line and the service answer of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from batchwright.errors import BatchwrightError, PlanRefused, WorkflowInvalid
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.plan import Plan
from batchwright.providers.base import Quote
from batchwright.views.plan import PlanView
from batchwright.views.taskserv_status import InstallPreview
from batchwright.views.text_format import counted


class Planned(Struct, frozen=True):
    """A plan, or the diagnostics that say why there is none; the price where the providers tell one."""

    plan: Plan | None
    diagnostics: tuple[Diagnostic, ...]
    quotes: dict[str, Quote] = {}
    is_valid: bool = True  # the file itself; what is wrong is the providers' or the machine's

    def refusal(self) -> BatchwrightError:
        """The error that says why there is no plan, with all the reasons."""
        return plan_refused(self.diagnostics) if self.is_valid else workflow_invalid(self.diagnostics)


class ValidationAnswer(Struct, frozen=True):
    """What `validate` answers. `workflow` is evaluated, None where it is not valid."""

    ok: bool
    workflow: dict[str, Any] | None
    diagnostics: tuple[Diagnostic, ...]


class PlanAnswer(Struct, frozen=True):
    """What `plan` answers. `quotes` are prices by provider, where one tells them; `changes` those of `--check`."""

    ok: bool
    plan: PlanView | None
    diagnostics: tuple[Diagnostic, ...]
    quotes: dict[str, Quote] = {}
    changes: tuple[InstallPreview, ...] | None = None


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
