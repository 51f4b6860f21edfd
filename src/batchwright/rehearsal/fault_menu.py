"""Which faults each kind of call may have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from batchwright.providers.base import Capabilities
from batchwright.rehearsal.fault_spec import AFTER, BEFORE, PortCall

CRASH = "crash"  # in --faults: both sides of every call

ASK = "ask"  # the verb of a question to people, which is no call of a port
RECORD = "record"  # begins the verbs of the appends to the journal

_OF_CLOUDS = ("throttle", "capacity", "quota", "auth")  # what only a provider that sells servers refuses for
_MENU: dict[str, tuple[str, ...]] = {  # the most telling first
    "create": (
        *("lost_answers", "late_commits", "second_driver", "capacity", "never_ready", "list_lag", "vanishes"),
        *("transient", "throttle", "quota", "auth"),
    ),
    "destroy": ("lost_answers", "second_driver", "transient", "throttle", "auth"),
    "change": ("lost_answers", "second_driver", "transient", "throttle", "auth"),
    "install": ("exit", "lost_answers", "timeout", "second_driver", "vanishes", "transient", "output_flood"),
    "remove": ("exit", "lost_answers", "timeout", "transient"),
    "run": ("exit", "lost_answers", "timeout", "second_driver", "transient", "output_flood"),
    "undo": ("exit", "lost_answers", "timeout", "transient"),
    "probe": ("timeout", "wrong_status", "wrong_body", "transient"),
    "find": ("list_lag", "transient", "auth"),
    "describe": ("list_lag", "transient", "auth"),
    "access": ("transient",),
    ASK: ("refused", "expired"),
    RECORD: ("second_change", "second_driver", "full_disk", "clock_jump"),
}
_UNSEEN = {  # what a check that looks at this cannot see
    *(("wrong_status", what) for what in ("", "tcp", "program")),
    *(("wrong_body", what) for what in ("", "tcp", "program", "http")),
}
FAULTS = frozenset({CRASH, *(fault for menu in _MENU.values() for fault in menu)})
EFFECTS = frozenset({"create", "destroy", "change", "install", "remove", "run", "undo"})  # calls that change the world


def faults_of(call: PortCall, capabilities: Mapping[str, Capabilities]) -> Iterator[str]:
    """The faults that a call may have besides a crash, the most telling first."""
    known = capabilities.get(call.provider)
    for fault in _MENU.get(call.verb.partition(" ")[0], ()):
        if (fault, call.looks_at) in _UNSEEN:
            continue
        if fault == "second_change" and call.verb == f"{RECORD} RunCreated":
            continue  # before that the run has no turn which another one could disturb
        if known is not None:
            if fault == "late_commits" and not known.settle_seconds:
                continue  # a create there has taken effect once its answer is late
            if fault == "list_lag" and not known.visible_seconds:
                continue
            if fault in _OF_CLOUDS and (known.free or not known.destroys):
                continue
            if fault in ("never_ready", "vanishes") and not known.destroys and call.verb == "create":
                continue  # it was there before
        yield fault


def wanted(fault: str, chosen: frozenset[str]) -> bool:
    """Whether a fault is among the chosen words; none chosen: all are."""
    return not chosen or (CRASH if fault in (BEFORE, AFTER) else fault) in chosen
