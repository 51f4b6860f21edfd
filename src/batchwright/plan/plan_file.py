"""A plan in one file: what `run` needs to apply it anywhere, without its source. Pure.

The first line names the format, its version, the size of the rest in bytes and its digest. The digest finds damage and
edits by hand; it does not prove who made the file.
"""

from __future__ import annotations

import hashlib
import re

import msgspec
from msgspec import Struct

from batchwright.errors import PlanFileInvalid
from batchwright.model.environment import Resource, digest
from batchwright.model.plan import Plan
from batchwright.model.run_provenance import RunInputs
from batchwright.operations.registry import dec_hook

MAGIC = b"batchwright-plan "
VERSION = 1  # raised when an older Batchwright would misread it
MOST = 64 * 1024 * 1024  # bytes of a file that is read
_FIRST_LINE = re.compile(rb"batchwright-plan (\d{1,9}) (\d{1,12}) sha256:([0-9a-f]{64})")
_AGAIN = "Write it again: batchwright plan FILE --out PLANFILE"


class PlanBasis(Struct, frozen=True, omit_defaults=True):
    """What a plan was made from: its inputs, and what the environment had after its turn of that number.

    `workflow` is the digest of the workflow, whatever the layout of its file.
    """

    inputs: RunInputs = RunInputs()
    workflow: str = ""
    resources: tuple[Resource, ...] = ()
    turn: int = 0


class PlanFile(Struct, frozen=True):
    """The content of the file. `made_at` is in seconds since the epoch; `made_with` is the version of Batchwright."""

    plan: Plan
    basis: PlanBasis
    made_at: float
    made_with: str


def is_plan(content: bytes) -> bool:
    """Whether a file with this content is meant as a plan file."""
    return content[: len(MAGIC)] == MAGIC


def encode(file: PlanFile) -> bytes:
    """The file's bytes. Raises PlanFileInvalid if they are more than are read."""
    body = msgspec.json.encode(file) + b"\n"
    if len(body) > MOST:
        raise PlanFileInvalid(f"the plan has {len(body):,} bytes, and a plan file has at most {MOST:,}")
    sum_of_it = hashlib.sha256(body).hexdigest().encode()
    return b"%s%d %d sha256:%s\n%s" % (MAGIC, VERSION, len(body), sum_of_it, body)


def decode(content: bytes) -> PlanFile:
    """What `encode` wrote. Raises PlanFileInvalid, which says what is wrong with these bytes."""
    first, _, body = content.partition(b"\n")
    found = _FIRST_LINE.fullmatch(first)
    if found is None:
        raise PlanFileInvalid("the first line of the plan file is damaged", hint=_AGAIN)
    version, size = int(found[1]), int(found[2])
    if version != VERSION:
        message = f"the plan file has version {version} of the format; this Batchwright reads version {VERSION}"
        raise PlanFileInvalid(message, hint=f"Use the Batchwright that wrote it. {_AGAIN}")
    if len(body) != size:
        what = "is cut off" if len(body) < size else "is too long"
        raise PlanFileInvalid(f"the plan file {what}: {len(body):,} bytes instead of {size:,}", hint=_AGAIN)
    if hashlib.sha256(body).hexdigest().encode() != found[3]:
        raise PlanFileInvalid("the plan file is damaged or was edited: its digest does not match", hint=_AGAIN)
    try:
        file = msgspec.json.decode(body, type=PlanFile, dec_hook=dec_hook)
    except (msgspec.MsgspecError, TypeError, ValueError, LookupError, RecursionError) as error:
        raise PlanFileInvalid(f"the plan file cannot be read: {error}", hint=_AGAIN) from error
    if digest(file.basis.resources) != file.plan.base:
        raise PlanFileInvalid("the plan file has other resources than the plan was made for", hint=_AGAIN)
    return file
