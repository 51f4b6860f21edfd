"""What a rollback would do, with a fresh read of the servers that it would destroy."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from batchwright.app.adapters import Adapters
from batchwright.app.run_reader import undo_preview
from batchwright.app.settings import Settings
from batchwright.engine.limits import Limits
from batchwright.engine.rollback_preview import PlannedUndo, UndoKind
from batchwright.errors import BatchwrightError
from batchwright.model.clock import Clock
from batchwright.model.run import Run
from batchwright.operations.registry import is_server, type_of
from batchwright.providers.base import Attached, ShowsAttached
from batchwright.taskservs.catalogue import load_catalogue

KEPT = "not created by this run; it is kept when the server is destroyed"


async def planned_undo(settings: Settings, clock: Clock, run: Run) -> list[PlannedUndo]:
    """The steps in order, each server followed by what is attached to it and does not belong to the run.

    If a provider does not answer, a line says so, and the journal alone decides the rest. Raises NotAllowed.
    """
    undos = undo_preview(run, clock.now())
    if run.plan.simulation is None:  # in a simulation no entry is used, and nothing foreign is attached
        undos = _judged(settings, run, undos)
    refs: dict[str, list[str]] = {}
    for one in undos if run.plan.simulation is None else ():
        if _destroys(run, one) and one.ref:
            refs.setdefault(one.provider, []).append(one.ref)
    async with Adapters(settings, clock, Limits(), run.plan.simulation) as around:
        await around.open(refs)
        looks = await asyncio.gather(*(_look(around, name, some) for name, some in refs.items()))
    attached = [(name, one) for name, found, _ in looks for one in found]
    lines = []
    for undo in undos:
        lines.append(undo)
        if _destroys(run, undo):
            on = [one for name, one in attached if (name, one.server) == (undo.provider, undo.ref)]
            lines += [_line(undo, one) for one in on]
    return lines + [PlannedUndo(name, name, UndoKind.UNKNOWN, note=why) for name, _, why in looks if why]


def _destroys(run: Run, undo: PlannedUndo) -> bool:
    """Whether a server goes, also one whose removal is only finished."""
    if undo.what is UndoKind.FINISH:
        return is_server(run.steps[run.index[undo.step]])
    return undo.what is UndoKind.DESTROY


def _judged(settings: Settings, run: Run, undos: list[PlannedUndo]) -> list[PlannedUndo]:
    """With a note where what was there before cannot come back."""
    if not any(one.what is UndoKind.RESTORE for one in undos):
        return undos
    catalogue = load_catalogue(settings.catalogues)
    steps = [run.steps[run.index[one.step]] for one in undos]
    notes = [type_of(step).cannot_restore(step, catalogue) for step in steps]
    return [replace(one, note=note or one.note) for one, note in zip(undos, notes, strict=True)]


def _line(undo: PlannedUndo, one: Attached) -> PlannedUndo:
    if one.blocks:
        return PlannedUndo(undo.step, undo.provider, UndoKind.BLOCKED, one.what, one.blocks)
    return PlannedUndo(undo.step, undo.provider, UndoKind.KEEP, one.what, KEPT)


async def _look(around: Adapters, name: str, refs: list[str]) -> tuple[str, list[Attached], str]:
    """What is attached at one provider, or why that is not known."""
    if name in around.troubles:
        return name, [], f"what else is attached to its servers: {around.troubles[name].message}"
    provider = around.providers[name]
    if not isinstance(provider, ShowsAttached):
        return name, [], ""
    try:
        async with asyncio.timeout(provider.capabilities.call_timeout):
            return name, await provider.attached(refs), ""
    except TimeoutError:
        return name, [], "what else is attached to its servers: no answer in time"
    except BatchwrightError as error:
        return name, [], f"what else is attached to its servers: {error.message}"
