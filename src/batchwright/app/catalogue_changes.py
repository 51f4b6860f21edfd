"""Whether the catalogue entries at hand are those that a plan was made with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace

from batchwright.app.install_artifacts import changed_sources
from batchwright.app.settings import Settings
from batchwright.errors import EntryChanged, SourceChanged
from batchwright.model.actions import Doubt
from batchwright.model.diagnostic import Diagnostic, bounded
from batchwright.model.lifecycle import StepState
from batchwright.model.plan import Step
from batchwright.model.run import Run
from batchwright.model.run_provenance import RunInputs
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.taskservs.catalogue import load_catalogue


def with_catalogues(settings: Settings, inputs: RunInputs | None, steps: Iterable[Step]) -> Settings:
    """The settings, and the folders that the plan was made with, unless the settings have all that it installs.

    Folders that this machine does not have are left out. Raises CatalogueInvalid.
    """
    recorded = [Path(one.name) for one in inputs.catalogues] if inputs is not None else []
    there = [folder for folder in recorded if folder.is_dir()]
    if not there or not changed_entries(steps, settings.catalogues):
        return settings
    return replace(settings, catalogues=tuple(dict.fromkeys((*settings.catalogues, *there))))


def changed_entries(steps: Iterable[Step], folders: Iterable[Path]) -> list[str]:
    """What differs of the entries that these steps install. Raises CatalogueInvalid.

    Built-in entries and those of installed packages count, beside the entries in `folders`.
    """
    installs = [step.request for step in steps if step.traits.doubt is not Doubt.NONE and not step.traits.removes]
    planned = {one.entry_name: one for one in installs if isinstance(one, TaskservRequest) and one.digest}
    if not planned:
        return []
    found = load_catalogue(folders)
    told = []
    for name, request in sorted(planned.items()):
        if name not in found:
            told.append(f'the catalogue has no task service "{name}"; version {request.version} was planned')
        elif found[name].digest != request.digest:
            entry = found[name]
            was, now = f"{request.version}, {request.digest[:12]}", f"{entry.version}, {entry.digest[:12]}"
            told.append(f'the task service "{name}" in {found.folders[name]} is {now}, and {was} was planned')
    return told


def refuse_changed_installs(run: Run, folders: Iterable[Path]) -> None:
    """Raise EntryChanged or SourceChanged if what the run has still to install is not what was planned.

    Raises CatalogueInvalid.
    """
    steps = zip(run.plan.steps, run.records, strict=True)
    ahead = [step for step, record in steps if record.state is not StepState.SUCCEEDED]
    if changed := changed_entries(ahead, folders):
        found = tuple(Diagnostic(EntryChanged.code, one) for one in changed)
        raise EntryChanged(f"run {run.id} cannot go on: {changed[0]}", diagnostics=bounded(found))
    place = run.created.inputs.folder if run.created.inputs is not None else ""
    if any(isinstance(step.request, TaskservRequest) and step.request.sources for step in ahead):
        moved = list(changed_sources(ahead, load_catalogue(folders), place))
        if moved:
            found = tuple(Diagnostic(SourceChanged.code, one) for one in moved)
            raise SourceChanged(f"run {run.id} cannot go on: {moved[0]}", diagnostics=bounded(found))
