"""Why a call failed: its class, which decides what happens next, and its words."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class FaultClass(StrEnum):
    """The kind of a refusal or failure. Each has one policy in engine/policy.py.

    >>> FaultClass.QUOTA in PASSING, FaultClass.BUSY in PASSING
    (False, True)
    """

    TRANSIENT = "transient"  # may work in a moment
    THROTTLE = "throttle"  # too many calls: slow the provider's bucket, not the step
    BUSY = "busy"  # the thing is in a state that will pass
    CAPACITY = "capacity"  # the place has no room now
    QUOTA = "quota"  # the account's limit is reached
    BILLING = "billing"
    AUTH = "auth"
    INVALID = "invalid"  # the request can never work
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    PERMANENT = "permanent"
    TIMEOUT = "timeout"  # it was made, but did not become ready in time
    EXIT = "exit"  # a program ended, and not with 0
    IN_DOUBT = "in_doubt"  # the call's outcome is unknown


PASSING = (FaultClass.TRANSIENT, FaultClass.THROTTLE, FaultClass.BUSY, FaultClass.CAPACITY, FaultClass.TIMEOUT)


class Fault(Struct, frozen=True, gc=False, omit_defaults=True):
    """Why something did not work. It never holds a secret.

    `code` is the provider's own error code, if it has one. `retry_after` is in seconds, if the provider says.

    >>> Fault(FaultClass.CAPACITY, "zone eu is full", code="NoCapacity", retry_after=30.0).kind
    <FaultClass.CAPACITY: 'capacity'>
    """

    kind: FaultClass
    message: str
    code: str = ""
    hint: str = ""
    retry_after: float | None = None  # seconds, when the provider says
