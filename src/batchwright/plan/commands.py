"""Commands to steps: one for this machine, or one for each server that the command is to run on."""

from __future__ import annotations

from batchwright.model.actions import Action, Undo
from batchwright.model.plan import CommandRequest, Step
from batchwright.model.workflow import Command
from batchwright.plan.draft import Draft, PlannedServer

COMMAND_SECONDS = 5.0  # nobody knows; an estimate like all `seconds`


def plan_commands(draft: Draft) -> None:
    """Fill the steps of commands. One whose program was not found has none, and a trouble says why."""
    for i, op in draft.commands():
        request = draft.observations.commands.get(op.id)
        places = [None] if op.targets is None else draft.targets[i]
        draft.steps[i] = [_step(draft, op, request, place) for place in places if request is not None]


def _step(draft: Draft, op: Command, request: CommandRequest, place: PlannedServer | None) -> Step:
    seconds = draft.observations.install_seconds
    return Step(
        id=f"{op.id}/{place.name if place else 'run'}",
        operation=op.id,
        provider=op.provider,
        action=Action.RUN,
        undo=_undo(op, place),
        request=request,
        server=place.step if place else "",
        seconds=COMMAND_SECONDS if seconds is None else seconds,
    )


def _undo(op: Command, place: PlannedServer | None) -> Undo:
    """A program that was named is run even when its server goes: it was asked for."""
    if op.undo:
        return Undo.RUN
    return Undo.WITH_SERVER if place is not None and place.vanishes else Undo.NOTHING
