"""The positions in the file of a plan's problems, which name an operation, a server, a provider or a step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec.structs import replace

from batchwright.app.planned import Planned
from batchwright.app.webhook_checks import WHERE, webhook_findings
from batchwright.loader import Path_, PathDiagnostic, SourceLocation
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.taskserv import Taskserv
from batchwright.model.workflow import Operation, Workflow
from batchwright.operations.base import PortKind
from batchwright.operations.registry import type_of
from batchwright.plan.build import told_by_the_file

Find = Callable[[Sequence[Path_]], Awaitable[Sequence[SourceLocation]]]

WHOLE: Path_ = ("batch_workflow",)


def static_findings(workflow: Workflow, catalogue: Mapping[str, Taskserv]) -> list[PathDiagnostic]:
    """Problems that do not depend on the providers' answers: `validate` reports them with a position."""
    told = [PathDiagnostic(path_of(workflow, one) or WHOLE, one) for one in told_by_the_file(workflow, catalogue)]
    return [*told, *webhook_findings(workflow)] if workflow.notify else told


async def placed(planned: Planned, workflow: Workflow | None, find: Find) -> Planned:
    """The same problems, with a position for each one that belongs to a part of the workflow."""
    if workflow is None:
        return planned
    paths = {one: path for one in planned.diagnostics if not one.file and (path := path_of(workflow, one))}
    if not paths:
        return planned
    wanted = list(dict.fromkeys(paths.values()))
    spots = dict(zip(wanted, await find(wanted), strict=False))

    def at_its_place(one: Diagnostic) -> Diagnostic:
        spot = spots.get(paths.get(one, ()))
        return replace(one, file=spot.file, line=spot.line, column=spot.column) if spot else one

    plan = planned.plan
    if plan is not None:
        plan = replace(plan, warnings=tuple(map(at_its_place, plan.warnings)))
    return replace(planned, plan=plan, diagnostics=tuple(map(at_its_place, planned.diagnostics)))


def path_of(workflow: Workflow, found: Diagnostic) -> Path_ | None:
    """The path in the workflow of a problem; None if it has none, such as a store's."""
    if found.where.startswith(WHERE):
        names = [one.name for one in workflow.notify]
        return (*WHOLE, "notify", names.index(found.where.removeprefix(WHERE)), *_steps(found.field))
    if found.where in ("storage_backend", "drift", "limits"):
        return (*WHOLE, found.where, *_steps(found.field))
    name, *inside = found.where.split("/")
    for number, operation in enumerate(workflow.operations):
        if operation.id == name:
            path: Path_ = (*WHOLE, "operations", number)
            return (*path, *_within(operation, inside, found))
    for number, operation in enumerate(workflow.operations):
        kind = type_of(operation)
        if kind.port is PortKind.PROVIDER and (part := kind.parts(operation).get(name)):
            return (*WHOLE, "operations", number, *part, *_steps(found.field))
    for number, operation in enumerate(workflow.operations):
        if operation.provider and operation.provider == name:
            return (*WHOLE, "operations", number, "provider")
    return None


def _within(operation: Operation, inside: Sequence[str], found: Diagnostic) -> Path_:
    """The path in an operation: a server or a task service of it, or a field."""
    parts = type_of(operation).parts(operation)
    if inside and parts:
        if part := parts.get(inside[-1]):
            return (*part, *_steps(found.field))
        return next(iter(parts.values()))[:1]
    return _steps(found.field)


def _steps(field: str) -> Path_:
    return tuple(int(step) if step.isdigit() else step for step in field.split(".") if step)
