"""The files and folders that installs put on servers: what a workflow names, and whether they are still the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from msgspec.structs import replace

from batchwright.artifact_tree import read_source
from batchwright.errors import SourceChanged, SourceInvalid, SourceMissing
from batchwright.model.actions import Doubt
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.map_variable_paths import ValueName
from batchwright.model.plan import Step
from batchwright.model.taskserv import Taskserv
from batchwright.model.taskserv_variable import VariableType
from batchwright.model.workflow import Workflow
from batchwright.operations.observations import Observations
from batchwright.operations.taskserv_batch import TaskservBatch, TaskservRequest, TaskservUse

DIR_HINT = "Put it beside the plan file, or name the folder that it is relative to with --dir."


def source_variables(use: TaskservUse, catalogue: Mapping[str, Taskserv]) -> dict[str, str]:
    """The paths of the sources that a task service names, by their variable."""
    entry = catalogue[use.entry_name] if use.variables and use.entry_name in catalogue else None
    if entry is None:
        return {}
    types = {name: variable.type for name in use.variables if (variable := entry.variable(name)) is not None}
    kinds = (VariableType.SOURCE, VariableType.FILE)
    return {name: value for name, value in use.variables.items() if isinstance(value, str) and types.get(name) in kinds}


def sources_of(
    workflow: Workflow, catalogue: Mapping[str, Taskserv]
) -> Iterator[tuple[tuple[str | int, ...], str, str, str]]:
    """Each source: its place in the workflow file, the names of its task service and its variable, its path."""
    for i, op in enumerate(workflow.operations):
        for number, use in enumerate(op.taskservs if isinstance(op, TaskservBatch) else ()):
            for name, path in source_variables(use, catalogue).items():
                place: tuple[str | int, ...] = (
                    "operations",
                    i,
                    "taskservs",
                    number,
                    "variables",
                    *ValueName.parse(name).path,
                )
                yield place, use.name, name, path


def planned_sources(steps: Iterable[Step]) -> set[str]:
    """The paths of what these steps put on servers."""
    requests = [step.request for step in steps if isinstance(step.request, TaskservRequest)]
    return {str(request.variables[name]) for request in requests for name in request.sources}


def with_sources(workflow: Workflow, catalogue: Mapping[str, Taskserv], change: Callable[[str], str]) -> Workflow:
    """The workflow with `change` of the path of each source."""

    def changed(use: TaskservUse) -> TaskservUse:
        paths = {name: change(path) for name, path in source_variables(use, catalogue).items()}
        return replace(use, variables={**use.variables, **paths}) if paths else use

    operations = tuple(
        replace(op, taskservs=tuple(map(changed, op.taskservs))) if isinstance(op, TaskservBatch) else op
        for op in workflow.operations
    )
    return replace(workflow, operations=operations)


async def observe_sources(
    workflow: Workflow, observations: Observations, catalogue: Mapping[str, Taskserv], folder: str
) -> Observations:
    """The observations, plus the digest of each source; one that is missing or unusable becomes a problem.

    `folder` is that of the workflow file.
    """
    found: dict[str, dict[str, str]] = {}
    problems = list(observations.problems)
    for op in workflow.operations:
        for use in op.taskservs if isinstance(op, TaskservBatch) else ():
            where, digests = f"{op.id}/{use.name}", {}
            for name, path in source_variables(use, catalogue).items():
                variable = catalogue[use.entry_name].variable(name)
                assert variable is not None
                is_file = variable.type is VariableType.FILE
                try:
                    digests[name] = await asyncio.to_thread(_digest, path, folder, is_file=is_file)
                except (SourceMissing, SourceInvalid) as error:
                    about = Diagnostic.of_error(error, where)
                    problems.append(replace(about, message=f'"{use.name}": {about.message}'))
            if digests:
                found[where] = digests
    return replace(observations, sources=found, problems=tuple(problems)) if found or problems else observations


def _digest(path: str, folder: str, *, is_file: bool) -> str:
    place = Path(folder, path)
    if not place.is_absolute():
        raise SourceMissing(f"it is not known here what the path {path} is relative to", hint="Write an absolute path.")
    return read_source(place, is_file=is_file).digest


def changed_sources(steps: Iterable[Step], catalogue: Mapping[str, Taskserv], folder: str) -> Iterator[str]:
    """What differs of the sources that these steps put on servers."""
    seen: dict[tuple[str, str, bool], str] = {}
    for step in steps:
        request = step.request
        if not isinstance(request, TaskservRequest) or step.traits.doubt is Doubt.NONE or step.traits.removes:
            continue
        entry = catalogue.get(request.entry_name)
        for name, digest in request.sources.items():
            variable = entry.variable(name) if entry is not None else None
            is_file = variable is not None and variable.type is VariableType.FILE
            seen.setdefault((str(request.variables[name]), digest, is_file), request.name)
    for (path, digest, is_file), owner in seen.items():
        try:
            now = _digest(path, folder, is_file=is_file)
        except (SourceMissing, SourceInvalid) as error:
            yield f"{owner}: {error.message}"
            continue
        if now != digest:
            place = Path(folder, path)
            yield f"{owner}: {place} is not what was planned: its digest is {now[:12]}, and {digest[:12]} was planned"


def source_problems(steps: Iterable[Step], catalogue: Mapping[str, Taskserv], folder: str) -> list[Diagnostic]:
    """The same as problems of a plan from a file."""
    return [Diagnostic(SourceChanged.code, one, DIR_HINT) for one in changed_sources(steps, catalogue, folder)]
