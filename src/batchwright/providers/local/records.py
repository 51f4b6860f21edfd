"""What is kept of a server in its folder, `<state_dir>/local/servers/<ref>/`, and its name. Pure but for reading.

server.json    the intent: all that is needed to make it, or make it again; there before anything is started
process.json   the first process inside, written once it runs
upper, work    what is different from the base tree
planted        a mark: the files it is given before its first start are there
told           what the server says from inside: states when its boot has ended, what its script printed
console.log    what its service manager and the sandbox said
identity       its host key; copied inside
names          (beside the servers) held by who tells servers each other's names
stopped, destroying   marks: somebody wanted it so
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
from msgspec import Struct

from batchwright.model.ids import Token, base32
from batchwright.operations.server_batch import ServerRequest

INTENT, PROCESS, CONSOLE, IDENTITY = "server.json", "process.json", "console.log", "identity"
PLANTED, STOPPED, DESTROYING = "planted", "stopped", "destroying"
UPPER, WORK, TOLD, READY, SAID, FILTER = "upper", "work", "told", "ready", "said", "filter.bpf"
SYSTEM, USER = "system", "user"  # modes: made by root, with a service manager; made by a plain user, without
MARKER = "BATCHWRIGHT_SERVER"  # in the environment of every first process of a server
PREFIX = "local-"


class Intent(Struct, frozen=True, forbid_unknown_fields=True):
    """A server that should exist. `mode` is the machine's mode when it was created; `made_at` is seconds since the
    epoch. `environment` is the one of its run; "" in records older than this field.
    """

    ref: str
    run: str
    token: str
    request: ServerRequest
    address: str
    port: int
    mode: str
    made_at: float
    environment: str = ""

    @property
    def own_network(self) -> bool:
        """Whether it has a network namespace of its own."""
        return self.request.resolved.get("network") == "own"


class Process(Struct, frozen=True):
    """The first process inside a server, as this machine numbers it."""

    pid: int


class Damaged(Exception):
    """A server's file has content that this version of Batchwright does not write."""


def ref_of(account: str, token: Token) -> str:
    """The reference of what a token makes: always the same, and no other account's."""
    digest = hashlib.sha256(f"{account}/{token.run}/{token.value}".encode()).digest()
    return PREFIX + base32(digest[:8])[:12]


def is_ref(name: str) -> bool:
    """Whether this can be a reference, and so the name of a server's folder."""
    return name.startswith(PREFIX) and name.removeprefix(PREFIX).isalnum() and name.isascii()


def encode(value: Intent | Process) -> bytes:
    """As it stands in the file."""
    return msgspec.json.format(msgspec.json.encode(value)) + b"\n"


def decode_intent(content: bytes) -> Intent:
    """The intent in a file's content. Raises Damaged."""
    try:
        return msgspec.json.decode(content, type=Intent)
    except msgspec.MsgspecError as error:
        raise Damaged(str(error)) from error


def decode_process(content: bytes) -> Process | None:
    """None for what was not written to its end."""
    try:
        return msgspec.json.decode(content, type=Process)
    except msgspec.MsgspecError:
        return None


def read_intent(folder: Path) -> Intent | None:
    """The intent of a server's folder; None where there is none (yet, or no more). Raises Damaged, OSError."""
    try:
        return decode_intent((folder / INTENT).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Damaged as error:
        raise Damaged(f"{folder / INTENT}: {error}") from error
