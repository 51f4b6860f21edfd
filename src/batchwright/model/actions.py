"""What a step can do and what undoes it, with the traits of each action, which are all that the engine may know."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Action(StrEnum):
    """What a step will do."""

    CREATE = "create"
    KEEP = "keep"  # the server is there already, managed and matching: left as it is, never rolled back
    UPDATE = "update"  # the server is there already and is changed in place
    INSTALL = "install"
    RUN = "run"  # a program, on this machine or on a server
    CHECK = "check"  # something is looked at until it is well
    RETIRE = "retire"  # what is no longer asked for: the server is destroyed, the task service removed, the undo run
    GATE = "gate"  # the next wave of an operation begins behind it, perhaps only when people agree
    ASK = "ask"  # people are asked whether the run goes on


class Undo(StrEnum):
    """What undoing a step would do."""

    DESTROY = "destroy"
    RELEASE = "release"  # the server was there before the run and stays: only the run's hold on it ends
    REMOVE = "remove"
    RESTORE = "restore"  # what stood there before is applied again
    RUN = "run"  # the program that the command names for it
    WITH_SERVER = "with_server"  # goes when its server is destroyed by the same rollback
    NOTHING = "nothing"


class Doubt(StrEnum):
    """How a call is settled whose outcome is not known."""

    LOOK = "look"  # the provider is asked what the call made; it is never just sent again
    REPEAT = "repeat"  # it is sent again: doing it twice is the same as doing it once
    ASK = "ask"  # a person decides, unless the request is idempotent
    NONE = "none"  # no call is sent, only something that exists is waited for


class Traits(Struct, frozen=True):
    """What the engine knows about an action. It decides by these and never by the action or the type of an operation.

    `lasts`: what it creates stays, so a step without undo found it before the run. `sweeps`: what it creates carries
    the run's label, and the closing sweep of its lane looks for more of it. `stops_lane`: a quota, billing or
    credentials fault ends its lane. `replaces`: what does not become ready is destroyed and created again. `retries`: a
    fault is answered with another attempt, as far as its policy allows. `removes`: what it works on is gone once it
    succeeded. `only_looks`: it changes nothing, so a run that did nothing else has changed nothing.
    succeeded. `holds`: it sends no call and holds back the steps behind it. `counted`: it is one of the steps of its
    operation that people count.
    """

    doubt: Doubt
    lasts: bool = True
    sweeps: bool = False
    stops_lane: bool = False
    replaces: bool = False
    retries: bool = True
    removes: bool = False
    only_looks: bool = False
    holds: bool = False
    counted: bool = True


TRAITS: dict[Action, Traits] = {
    Action.CREATE: Traits(Doubt.LOOK, sweeps=True, stops_lane=True, replaces=True),
    Action.KEEP: Traits(Doubt.NONE, retries=False),
    Action.UPDATE: Traits(Doubt.REPEAT, stops_lane=True),
    Action.INSTALL: Traits(Doubt.REPEAT),
    Action.RUN: Traits(Doubt.ASK, lasts=False),
    Action.CHECK: Traits(Doubt.REPEAT, lasts=False, retries=False, only_looks=True),
    Action.RETIRE: Traits(Doubt.REPEAT, lasts=False, removes=True),
    Action.GATE: Traits(Doubt.NONE, lasts=False, retries=False, holds=True, counted=False),
    Action.ASK: Traits(Doubt.NONE, lasts=False, retries=False, holds=True),
}
