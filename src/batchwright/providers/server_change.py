"""What adapters share to change a server in place: the order of its steps, its labels, and what is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum

from batchwright.model.call_outcome import Going, Rejected, Unknown
from batchwright.model.fault import Fault, FaultClass

_OURS = "batchwright-"  # labels that begin so are not the user's


class Power(StrEnum):
    """Whether a server runs, as far as a change of its plan is concerned."""

    ON = "on"
    OFF = "off"
    BETWEEN = "between"  # it is starting or stopping, or something else is done with it


Call = Callable[[], Awaitable[Rejected | Unknown | None]]


async def change_plan(
    power: Power, done: bool, stop: Call, change: Call, start: Call
) -> Going | Rejected | Unknown | None:
    """The next step to another plan of a server that must be stopped for it; None if nothing is left to do.

    `done`: it has the plan. A plan that is refused leaves the server starting again with the former one. So does a
    server that is found stopped with its plan, whoever stopped it: a process that died in between leaves no other
    trace.
    """
    match power:
        case Power.BETWEEN:
            return None if done else Going("the server is between two states")
        case Power.ON:
            return None if done else await stop() or Going("the server is stopping")
    refused = None if done else await change()
    if isinstance(refused, Unknown):
        return refused
    return await start() or refused or Going("the server is starting")


def labels_after(found: Mapping[str, str], wanted: Mapping[str, str], before: Mapping[str, str]) -> dict[str, str]:
    """The labels of a server after a change: those of others stay, and so do the run's and the token's.

    >>> labels_after({"batchwright-run": "r", "a": "1", "cost": "7"}, {"b": "2"}, {"a": "1"})
    {'batchwright-run': 'r', 'cost': '7', 'b': '2'}
    """
    kept = {key: value for key, value in found.items() if key.startswith(_OURS) or key not in before or key in wanted}
    return kept | {key: value for key, value in wanted.items() if not key.startswith(_OURS)}


def refuse_foreign(ref: str) -> Rejected:
    """The refusal to change a server that Batchwright did not create."""
    message = f"not changed: {ref} does not carry the labels of a run"
    hint = "Somebody removed them, or the server is not this environment's. Change it by hand, or replace it."
    return Rejected(Fault(FaultClass.CONFLICT, message, "NOT_OURS", hint))


def refuse_gone(ref: str) -> Rejected:
    """The refusal to change a server that does not exist any more."""
    return Rejected(Fault(FaultClass.NOT_FOUND, f"not changed: {ref} does not exist", "SERVER_GONE", "Plan again."))
