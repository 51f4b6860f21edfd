"""What must hold wherever a process died: of the end that a run came to, compared with the undisturbed one."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from batchwright.model.lifecycle import StepState
from batchwright.model.plan import Plan
from batchwright.operations.command import CommandRequest
from batchwright.operations.server_batch import ServerRequest
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.rehearsal.end_state import EndState
from batchwright.rehearsal.scenario import Scenario


class Invariant(StrEnum):
    """What must hold."""

    STATUS = "status"  # it ends as it does undisturbed
    NO_DUPLICATE = "no_duplicate"  # nothing is created twice
    NO_LEFTOVER = "no_leftover"  # what exists is known, and after a rollback nothing new exists
    NOTHING_LOST = "nothing_lost"  # what the environment has exists, and what was there before does too
    ENVIRONMENT = "environment"  # I1, I2: its turn is over, and what is kept is the fold of all runs
    COMMAND_ONCE = "command_once"  # a command that is not idempotent runs once
    UNDONE = "undone"  # what is rolled back has run its undo, and nothing else has
    CHANGED = "changed"  # I6, I7: what a run changes is as its plan says, or as before if it is rolled back
    SAME_END = "same_end"  # I9: the same servers with the same on them
    AS_PLANNED = "as_planned"  # a run that has completed has made what its plan says
    CREATED_ONCE = "created_once"  # no create call takes effect twice, not even for a while
    FOREIGN = "foreign"  # what is nobody's business here stays as it is
    FENCE = "fence"  # a process that lost the run sends nothing more
    ENDS = "ends"  # it comes to an end, with the help of people where it asks for it
    RAISES = "raises"  # nothing in the engine raises what nobody expects
    USER = "user"  # what the user's own file says


class BrokenInvariant(Struct, frozen=True):
    """An invariant that does not hold; `about` is a step, a server or a reference, `seen` what is so instead."""

    invariant: Invariant
    about: str
    seen: str = ""


def broken_invariants(scenario: Scenario, wanted: EndState, end: EndState) -> list[BrokenInvariant]:
    """What is wrong with an end, compared with the undisturbed one."""
    found = [*_world(scenario, wanted, end), *_commands(scenario, wanted, end), *_changes(scenario, end)]
    if not scenario.races:  # what was begun when it was stopped depends on when the process died
        found += _differences(wanted, end)
    return found


def unplanned(plan: Plan, end: EndState) -> list[BrokenInvariant]:
    """What a run that has completed should have made and has not: each server, and what is installed on it."""
    found, servers = [], {step.id: step for step in plan.steps if isinstance(step.request, ServerRequest)}
    for step in plan.steps:
        request = step.request
        if end.steps[step.id] is not StepState.SUCCEEDED or step.retired is not None:
            continue
        if isinstance(request, ServerRequest) and end.names[request.name] != 1:
            found.append(BrokenInvariant(Invariant.AS_PLANNED, step.id, f"{end.names[request.name]} servers"))
        if isinstance(request, TaskservRequest) and step.server in servers:
            name = servers[step.server].request.name
            there = end.installed.get(name, {}).get(request.name)
            if there != request.version and name in end.names:
                found.append(BrokenInvariant(Invariant.AS_PLANNED, step.id, there or "nothing"))
    return found


def _world(scenario: Scenario, wanted: EndState, end: EndState) -> list[BrokenInvariant]:
    found = [BrokenInvariant(Invariant.NO_DUPLICATE, name, str(end.names[name])) for name in end.duplicates]
    found += [BrokenInvariant(Invariant.NO_LEFTOVER, ref) for ref in end.orphans]
    found += [BrokenInvariant(Invariant.ENVIRONMENT, "", problem) for problem in end.environment]
    if end.status is not (scenario.ends or wanted.status):
        found.append(BrokenInvariant(Invariant.STATUS, "", str(end.status)))
    return found


def _commands(scenario: Scenario, wanted: EndState, end: EndState) -> list[BrokenInvariant]:
    """What may run only once has run once, wherever the process died; what is undone has run its undo."""
    found = []
    for step in scenario.plan.steps:
        request = step.request
        if isinstance(request, CommandRequest):
            ran, usual = end.ran[step.id], wanted.ran[step.id]
            if ran != usual and not (request.idempotent and ran > usual > 0):
                found.append(BrokenInvariant(Invariant.COMMAND_ONCE, step.id, str(ran)))
            if bool(end.undone[step.id]) is not bool(wanted.undone[step.id]):
                found.append(BrokenInvariant(Invariant.UNDONE, step.id, str(end.undone[step.id])))
    return found


def _changes(scenario: Scenario, end: EndState) -> list[BrokenInvariant]:
    """What a run changes is as its plan says, or as it was before where the run was rolled back.

    It is the same server, unless the plan replaces it.
    """
    if scenario.earlier is None:
        return []
    found = []
    plan = scenario.earlier if scenario.rollback else scenario.plan
    names = {step.id: step.request.name for step in plan.steps}
    asked: dict[str, dict[str, str]] = {}
    for step in plan.steps:
        request = step.request
        if isinstance(request, ServerRequest) and request.name not in scenario.vanishes and step.retired is None:
            there = end.servers.get(request.name)
            found += [BrokenInvariant(Invariant.CHANGED, step.id, str(there))] * (
                there != (request.plan, request.labels)
            )
        if isinstance(request, TaskservRequest) and names[step.server] not in scenario.vanishes:
            asked.setdefault(names[step.server], {})[request.name] = request.version
    for server, services in asked.items():
        if services != end.installed.get(server):
            found.append(BrokenInvariant(Invariant.CHANGED, server, str(end.installed.get(server))))
    kept = (step for step in scenario.plan.steps if step.ref and step.retired is None)
    for step in kept:
        ref, stays = end.refs.get(step.request.name), step.request.name not in scenario.vanishes
        found += [BrokenInvariant(Invariant.CHANGED, step.id, str(ref))] * (stays and ref != step.ref)
    if scenario.rollback and not scenario.vanishes and end.digest != end.before:
        found.append(BrokenInvariant(Invariant.CHANGED, "environment"))
    return found


def _differences(wanted: EndState, end: EndState) -> list[BrokenInvariant]:
    found = [
        BrokenInvariant(Invariant.SAME_END, name, f"{end.names[name]} instead of {wanted.names[name]}")
        for name in sorted({*wanted.names, *end.names})
        if wanted.names[name] != end.names[name]
    ]
    both = sorted(wanted.servers.keys() & end.servers.keys())
    found += [
        BrokenInvariant(Invariant.SAME_END, name, f"{end.servers[name]} with {end.installed[name]}")
        for name in both
        if (end.servers[name], end.installed[name]) != (wanted.servers[name], wanted.installed[name])
    ]
    return found
