"""What the runner and its child process tell each other: one job, then lines of JSON both ways."""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec import Struct

from batchwright.model.scalar import PlainValue


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
    """The server of a job. `token` marks its processes, `temp` is a private folder there, `sudo`: its login is not
    root's.

    `variables` and `outputs` may hold secrets in the clear: a job is only ever written into a pipe. `sources` are by
    the name of their variable, `secrets` the names of variables that are secret.
    """

    name: str
    address: str
    token: str
    variant: str
    variables: dict[str, PlainValue]
    outputs: dict[str, str] = {}
    sources: dict[str, HostSource] = {}
    secrets: tuple[str, ...] = ()
    cluster: Member | None = None
    temp: str = ""
    sudo: bool = False


class ChildJob(Struct, frozen=True):
    """One task service on one server. `folder` holds its deploy.py."""

    name: str
    version: str
    folder: str
    verb: Verb
    host: Host


class OutputLine(Struct, frozen=True, tag="line"):
    """One line of output."""

    text: str


class RunCommand(Struct, frozen=True, tag="run"):
    """Child to parent: run this on the server. Its input is `input`, then the local file `file`, if there is one.

    `seconds` is its time limit, 0 for none.
    """

    command: str
    input: bytes
    file: str = ""
    seconds: float = 0
    pty: bool = False


class Reconnect(Struct, frozen=True, tag="reconnect"):
    """Child to parent: connect to the server again, which has restarted."""


class CommandChunk(Struct, frozen=True, tag="chunk"):
    """Parent to child: output of the command; `error`: its standard error."""

    data: bytes
    error: bool = False


class CommandEnd(Struct, frozen=True, tag="end"):
    """Parent to child: the command, or the reconnection, has ended. Without an exit code `why` says what went wrong."""

    code: int | None
    why: str = ""
    timed_out: bool = False


class Done(Struct, frozen=True, tag="done"):
    """How it ended. `changes` are the operations that changed something, or would.

    `failed` names the operation that did not work, `fault` says why in words where its output does not, `tail` is the
    end of its output. `bug`: the deploy itself is wrong, so doing it again is of no use.
    """

    ok: bool
    operations: int = 0
    changes: tuple[str, ...] = ()
    failed: str = ""
    fault: str = ""
    tail: tuple[str, ...] = ()
    bug: bool = False


Word = OutputLine | RunCommand | Reconnect | Done
Reply = CommandChunk | CommandEnd

job_decoder = msgspec.json.Decoder(ChildJob)
reply_decoder: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply)
word_decoder: msgspec.json.Decoder[Word] = msgspec.json.Decoder(Word)


def written(value: ChildJob | Reply | Word) -> bytes:
    """One line for the pipe."""
    return msgspec.json.encode(value) + b"\n"
