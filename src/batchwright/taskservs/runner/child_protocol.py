"""What the runner and its child process tell each other: one job on stdin, lines of JSON both ways."""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec import Struct

from batchwright.model.scalar import PlainValue
from batchwright.model.ssh_access import SshAccess


class Verb(StrEnum):
    """What is to be done with the task service; PREVIEW changes nothing."""

    INSTALL = "install"
    REMOVE = "remove"
    PREVIEW = "preview"


class Member(Struct, frozen=True):
    """A server's place in the cluster that is joined together; `leader` is the address of its first server."""

    number: int
    size: int
    leader: str


class HostSource(Struct, frozen=True):
    """A file or folder that goes to a server. `archive` is a tar file of it here, "" if it is not at hand: then `why`
    says why not, and it is of use only if the server has it already.
    """

    path: str
    digest: str
    archive: str = ""
    why: str = ""


class Host(Struct, frozen=True):
    """One server of a job. `id` is its name on the wire, `token` marks its processes, `temp` is a private folder there.

    `variables` and `outputs` may hold secrets in the clear: a job is only ever written into a pipe. `sources` are by
    the name of their variable, `secrets` the names of variables that are secret.
    """

    id: str
    name: str
    address: str
    access: SshAccess
    token: str
    variant: str
    variables: dict[str, PlainValue]
    outputs: dict[str, str] = {}
    sources: dict[str, HostSource] = {}
    secrets: tuple[str, ...] = ()
    cluster: Member | None = None
    temp: str = ""


class ChildJob(Struct, frozen=True):
    """One task service on many servers. `folder` holds its deploy.py."""

    name: str
    version: str
    folder: str
    verb: Verb
    hosts: tuple[Host, ...]


class Stop(Struct, frozen=True, tag="stop"):
    """Parent to child: stop working on one server at once."""

    host: str


class OutputLine(Struct, frozen=True, tag="line"):
    """One line of output."""

    host: str
    text: str


class Done(Struct, frozen=True, tag="done"):
    """How it ended on one server. `changes` are the operations that changed something, or would.

    `failed` names the operation that did not work, `fault` says why in words where its output does not, `tail` is the
    end of its output. `bug`: the deploy itself is wrong, so doing it again is of no use.
    """

    host: str
    ok: bool
    operations: int = 0
    changes: tuple[str, ...] = ()
    failed: str = ""
    fault: str = ""
    tail: tuple[str, ...] = ()
    bug: bool = False


class Stopped(Struct, frozen=True, tag="stopped"):
    """Child to parent: nothing more is sent to this server."""

    host: str


Word = OutputLine | Done | Stopped

job_decoder = msgspec.json.Decoder(ChildJob)
stop_decoder = msgspec.json.Decoder(Stop)
word_decoder: msgspec.json.Decoder[Word] = msgspec.json.Decoder(Word)


def written(value: ChildJob | Stop | Word) -> bytes:
    """One line for the pipe."""
    return msgspec.json.encode(value) + b"\n"
