"""What a call to the outside meant. `Rejected` only when it is certain that nothing was or will be made."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class FaultClass(StrEnum):
    """What kind of refusal or trouble this is; each has one policy in engine/policy.py."""

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


class Fault(Struct, frozen=True, omit_defaults=True):
    """Why something did not work. `code` is the provider's own word where it has one; never holds a secret."""

    kind: FaultClass
    message: str
    code: str = ""
    hint: str = ""
    retry_after: float | None = None  # seconds, when the provider says


class ServerState(StrEnum):
    """What a fresh look at a server shows."""

    STARTING = "starting"
    READY = "ready"
    BROKEN = "broken"  # it will not become ready by itself
    STOPPING = "stopping"
    GONE = "gone"  # certainly no longer there
    NOT_VISIBLE = "not_visible"  # not listed, which may be lag


class Observed(Struct, frozen=True, omit_defaults=True):
    """A server as the provider shows it; `run` and `token` are the labels it carries, empty when it has none.

    `needed_by` is set for what is no server: how the references of the servers that need it begin, or their token. As
    long as the journal keeps such a server, it is no orphan. Empty: any server of its run needs it. `made_with` is the
    token of the server that a disk was made with, where a search for a token must not show the disk.
    """

    ref: str
    state: ServerState
    name: str = ""
    run: str = ""
    token: str = ""
    address: str = ""
    plan: str = ""
    zone: str = ""
    image: str = ""
    fault: Fault | None = None
    needed_by: str | None = None
    made_with: str = ""


class Created(Struct, frozen=True):
    """The call made it (or found what an earlier call with this token made)."""

    ref: str
    ready: bool = False
    address: str = ""


class Applied(Struct, frozen=True, omit_defaults=True):
    """A task service is installed (or removed); `changed` is false when it was so before."""

    changed: bool = True
    outputs: dict[str, str] = {}


class CheckResult(Struct, frozen=True, omit_defaults=True):
    """One check of a task service; `output` holds the last lines of what it said."""

    name: str
    ok: bool
    output: str = ""


class Rejected(Struct, frozen=True):
    """Nothing was made and nothing will be."""

    fault: Fault


class Unknown(Struct, frozen=True):
    """The call was sent and its outcome is not known."""

    reason: str


class Throttled(Unknown, frozen=True):
    """A look, or one inside another call, was not answered because there were too many of them.

    `retry_after` is seconds, where that was said.
    """

    retry_after: float | None = None


class ReadRefused(Unknown, frozen=True):
    """A look was turned away for a reason that asking again does not change: credentials, a right, a setting."""


class Gone(Struct, frozen=True):
    """What was to be destroyed is certainly no longer there."""


class Going(Struct, frozen=True):
    """The destroy is under way; look again."""

    note: str = ""
