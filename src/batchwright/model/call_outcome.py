"""The results of calls to the outside. `Rejected` only if it is certain that nothing was or will be created."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from batchwright.model.fault import Fault


class ServerState(StrEnum):
    """The state of a server, as a fresh read of the provider shows it.

    >>> ServerState("not_visible")
    <ServerState.NOT_VISIBLE: 'not_visible'>
    """

    STARTING = "starting"
    READY = "ready"
    BROKEN = "broken"  # it will not become ready by itself
    STOPPING = "stopping"
    GONE = "gone"  # certainly no longer there
    NOT_VISIBLE = "not_visible"  # not listed, which may be lag


ABSENT = frozenset({ServerState.GONE, ServerState.NOT_VISIBLE})  # no look shows the server


class Observed(Struct, frozen=True, gc=False, omit_defaults=True):
    """A server as the provider shows it; `run` and `token` are the labels it carries, empty if it has none.

    `labels` are the server's labels without Batchwright's own ones; None if the provider does not show them.
    `needed_by` is set on a resource that is not a server: the prefix of the references of the servers that need it, or
    their token. While the journal keeps such a server, the resource is not an orphan. Empty: every server of its run
    needs it. `made_with` is the token of the server that a disk was created with, if a search for a token must not find
    the disk itself. `disk_gb` is the size of a server's first disk where the provider shows it with the server.
    `host_keys` are a server's public SSH host keys ("ssh-ed25519 AAAA..."), if it tells them.

    >>> seen = Observed("racks-7", ServerState.READY, name="web-01", run="abcdefabcdef", address="10.0.0.5")
    >>> seen.state is ServerState.READY
    True
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
    disk_gb: int = 0
    host_keys: tuple[str, ...] = ()
    labels: dict[str, str] | None = None


class Created(Struct, frozen=True, gc=False):
    """The call created the server, or found the one that an earlier call with the same token created.

    `ready`: it needs no further wait. `address` may be empty until it is ready.

    >>> Created("racks-7", ready=True, address="10.0.0.5")
    Created(ref='racks-7', ready=True, address='10.0.0.5')
    """

    ref: str
    ready: bool = False
    address: str = ""


class Applied(Struct, frozen=True, gc=False, omit_defaults=True):
    """A task service is installed (or removed), or a program ended well. `changed` is false if it already was so.

    `outputs` are the values that a program gave, and `answer` is the name of its exit code, if its command names them.
    """

    changed: bool = True
    outputs: dict[str, str] = {}
    answer: str = ""


class CheckResult(Struct, frozen=True, gc=False, omit_defaults=True):
    """One check of a task service. `output` holds the last lines that it printed."""

    name: str
    ok: bool
    output: str = ""


class Rejected(Struct, frozen=True, gc=False):
    """The provider refused the call: nothing was created or changed, and nothing will be.

    >>> from batchwright import FaultClass
    >>> Rejected(Fault(FaultClass.QUOTA, "the account may have 3 servers")).fault.message
    'the account may have 3 servers'
    """

    fault: Fault


class Unknown(Struct, frozen=True, gc=False):
    """The call was sent and its outcome is not known. The engine looks for the server before it tries again.

    >>> Unknown("the connection broke before the answer")
    Unknown(reason='the connection broke before the answer')
    """

    reason: str


class Throttled(Unknown, frozen=True, gc=False):
    """A read was not answered because too many calls were made, also a read inside another call.

    `retry_after` is in seconds, if the provider says.

    >>> isinstance(Throttled("too many requests", retry_after=2.0), Unknown)
    True
    """

    retry_after: float | None = None


class ReadRefused(Unknown, frozen=True, gc=False):
    """A read was refused for a reason that a retry does not change: credentials, a permission or a setting."""


class Gone(Struct, frozen=True, gc=False):
    """What was to be destroyed certainly no longer exists.

    >>> Gone()
    Gone()
    """


class Going(Struct, frozen=True, gc=False):
    """The destroy is in progress; call again until the answer is Gone. `note` is for people.

    >>> Going("stopping").note
    'stopping'
    """

    note: str = ""
