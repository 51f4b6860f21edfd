"""Twins: servers of one name that runs of different stores created in one account. At most one is put to use. Pure.

A new server is clear, and may be used, once a complete listing that began late enough shows no twin of it. Of servers
that see each other the one with the smallest token stays: the others give way, and it waits until they are gone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from batchwright.engine import effects
from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.plan import Guard, Plan, ProviderFacts, Step

PATIENCE_SECONDS = 120.0  # for which the smallest token waits for the others to give way, at least
CODE = "server-exists"


def possible(plan: Plan, facts: ProviderFacts | None) -> bool:
    """Whether a create must look for a server of the same name first: the provider does not refuse a second one."""
    if facts is None or not plan.rules.clear_looks or facts.guard is Guard.UNIQUE_NAME:
        return False
    return facts.visible_seconds > 0 or facts.exclusive


def clear_look(plan: Plan, step: Step, token: str) -> effects.ClearLook | None:
    """What must be seen before the server that a step creates is used; None if it is used as soon as it is ready."""
    visible = plan.clear_seconds(step)
    if not visible:
        return None
    settle = max(facts.settle_seconds for facts in plan.providers if facts.name == step.provider)
    return effects.ClearLook(step.request.name, token, visible, max(PATIENCE_SECONDS, 2 * settle))


def of(run: str, known: Collection[str], named: Iterable[Observed]) -> tuple[Observed, ...]:
    """The twins among the servers of one name, smallest token first: those that other runs created.

    What the run's plan knows is none (`known`): the environment's own, which the run keeps or retires.
    """
    found = (one for one in named if one.run not in ("", run) and one.ref not in known and one.needed_by is None)
    return tuple(sorted((one for one in found if one.state is not ServerState.GONE), key=lambda one: one.token))


def gives_way(look: effects.ClearLook, twins: tuple[Observed, ...], contested: float) -> bool:
    """Whether a server gives way to its twins, which it has seen for so many seconds.

    One that is being destroyed is waited for, whatever its token.
    """
    standing = any(one.token < look.token and one.state is not ServerState.STOPPING for one in twins)
    return bool(twins) and (standing or contested >= look.patience)


def taken(name: str, twins: tuple[Observed, ...]) -> Fault:
    """Why nothing is created: a twin is there already."""
    return _fault(name, twins, "nothing was created", "Remove it where it was created, or choose another name")


def contested(name: str, twins: tuple[Observed, ...], seconds: float, *, kept: bool = False) -> Fault:
    """Why a server that was created is given up, or one that an earlier run created is not used."""
    hint = "Remove that one where it was created, or choose another name"
    if seconds:
        hint = f"If that run does not go on, roll it back in its own store. {hint}"
    told = "while both exist, neither is used" if kept else "only one may be used, so this run's is destroyed"
    return _fault(name, twins, told, hint)


def _fault(name: str, twins: tuple[Observed, ...], told: str, hint: str) -> Fault:
    twin = twins[0]
    message = f'another run ({twin.run}) created the server "{name}" in this account ({twin.ref}): {told}'
    return Fault(FaultClass.CONFLICT, message, CODE, f"{hint}; then resume this run.")
