"""What a plan asks of places, and whether their workers do it: said before anything is changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from batchwright.app.adapters import Adapters
from batchwright.app.allowed_settings import ANY
from batchwright.errors import PlaceRefused, PlaceUnusable, ProviderUnavailable
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.plan import Plan, Step
from batchwright.model.workflow import Operation, Workflow
from batchwright.operations.base import PortKind
from batchwright.operations.registry import type_of
from batchwright.places.codec import CHANGE, CREATE, DESTROY, LOOK, PlaceReport

DIFFERENT = "Install the same version of Batchwright, and the same catalogue, at the place and here."
HERE = "Put it into the catalogue entry at the place, or do it from here."


async def place_problems(plan: Plan, around: Adapters) -> list[Diagnostic]:
    """Why places do not do their part of a plan: nobody there, another version, not on the worker's allow-list."""
    wanted: dict[str, list[Step]] = {}
    for step, place in zip(plan.steps, around.places_of(plan.steps), strict=True):
        if place:
            wanted.setdefault(place, []).append(step)
    problems: list[Diagnostic] = []
    for place, steps in wanted.items():
        try:
            report = await around.places.report(place)
        except (ProviderUnavailable, PlaceUnusable) as error:
            problems.append(Diagnostic.of_error(error, place))
        else:
            problems += _unique(_of_steps(place, report, steps))
    return problems


def place_of_targets(workflow: Workflow, op: Operation, around: Adapters) -> str:
    """The place from which an operation on servers is done: its own, or that of its servers' provider, if it is one."""
    if at := getattr(op, "at", ""):
        return around.where("", at)
    names = set(getattr(op, "targets", None) or ())
    wants = {other.id: {one.name for one in type_of(other).wants(other).servers} for other in workflow.operations}
    batches = [other for other in workflow.operations if other.id in names or wants[other.id] & names]
    places = {around.where(other.provider) for other in batches if other.provider}
    return places.pop() if len(places) == 1 else ""


def _of_steps(place: str, report: PlaceReport, steps: Iterable[Step]) -> Iterator[Diagnostic]:
    for step in steps:
        match type_of(step).port:
            case PortKind.PROVIDER:
                yield from _of_server(place, report, step)
            case PortKind.RUNNER:
                yield from _of_install(place, report, step)
        program = type_of(step).program(step)
        for words in (program.run, program.undo, program.unless) if program is not None else ():
            if words and ANY not in report.commands and words[0] not in report.commands:
                yield _refused(place, f"run {words[0]}", step.operation)


def _of_server(place: str, report: PlaceReport, step: Step) -> Iterator[Diagnostic]:
    allowed = report.providers.get(step.provider, ())
    needed = [LOOK]
    needed += [CREATE, DESTROY] if step.traits.sweeps else []
    needed += [DESTROY] if step.retired is not None and step.retired.run else []
    needed += [CHANGE] if step.changes and not step.traits.sweeps and step.retired is None else []
    for kind in needed:
        if kind not in allowed:
            yield _refused(place, f"call {step.provider} to {kind}", step.provider)


def _of_install(place: str, report: PlaceReport, step: Step) -> Iterator[Diagnostic]:
    request = step.request
    name = getattr(request, "entry_name", request.name)
    if name not in report.taskservs:
        yield _refused(place, f"install {name}", step.operation)
    elif (digest := getattr(request, "digest", "")) and report.taskservs[name] != digest and step.retired is None:
        message = f"the catalogue of the worker at {place} has another version of {name} than this one"
        yield Diagnostic("place-catalogue-differs", message, DIFFERENT, where=step.operation)
    for source in getattr(request, "sources", {}):
        message = f'"{name}" puts {source} on servers: a file of this machine, which does not travel to {place}'
        yield Diagnostic("place-source", message, HERE, where=step.operation)


def _refused(place: str, what: str, where: str) -> Diagnostic:
    message = f"the worker at {place} may not {what}"
    return Diagnostic(PlaceRefused.code, message, PlaceRefused.hint, Severity.ERROR, where=where)


def _unique(found: Iterable[Diagnostic]) -> list[Diagnostic]:
    return list(dict.fromkeys(found))
