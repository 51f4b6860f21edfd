"""The process in which workflows of clients are read and checked: `python -m batchwright.service.evaluator_worker`.

It reads one job after the other from its input and answers each on its output; both are a length and a message. A
client's workflow can use up every limit: in its own process it costs other clients nothing, and can be killed.
"""

from __future__ import annotations

import os
import resource
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchwright import errors
from batchwright.app.diagnostic_positions import static_findings
from batchwright.app.program_and_secret_allowlist import ProgramAndSecretAllowlist
from batchwright.errors import BatchwrightError, BodyUnreadable
from batchwright.loader import (
    UNTRUSTED,
    Loaded,
    Path_,
    PathDiagnostic,
    SourceLocation,
    load_source,
    locate_source,
)
from batchwright.loader.depth import too_deep
from batchwright.loader.evaluator_client import StartChild
from batchwright.loader.evaluator_forks import EvaluatorForks
from batchwright.loader.limits import MIB
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.taskserv import LazyCatalogue
from batchwright.model.workflow import Workflow
from batchwright.operations.registry import dec_hook
from batchwright.providers import registry
from batchwright.taskservs.catalogue import load_catalogue

MEMORY = 2_048 * MIB
LENGTH = struct.Struct("=Q")


class EvaluationJob(Struct, frozen=True):
    """A workflow's text. `is_definition`: a JSON body, which may be the inner record alone."""

    text: str
    name: str
    is_definition: bool
    catalogues: tuple[str, ...]
    allowed: ProgramAndSecretAllowlist
    places: tuple[Path_, ...] = ()  # nothing but where these paths stand is asked


class Evaluated(Struct, frozen=True):
    """What was loaded, or the error's class, message and hint. `memory` is what the process has used at most."""

    loaded: Loaded | None = None
    spots: tuple[SourceLocation, ...] = ()
    error: str = ""
    message: str = ""
    hint: str | None = None
    memory: int = 0  # KiB


encode = msgspec.msgpack.Encoder().encode
decode_job = msgspec.msgpack.Decoder(EvaluationJob).decode
decode_answer = msgspec.msgpack.Decoder(Evaluated, dec_hook=dec_hook).decode


def raised(answer: Evaluated) -> BatchwrightError:
    """The error that an answer tells of."""
    kind = getattr(errors, answer.error, BatchwrightError)
    error: BatchwrightError = kind(answer.message, hint=answer.hint)
    return error


def evaluated(job: EvaluationJob, start: StartChild | None = None) -> Evaluated:
    """One job done, each in an evaluator of its own; whatever is wrong with the text is a diagnostic."""
    try:
        text = definition(job.text) if job.is_definition else job.text
        if job.places:
            spots = locate_source(text, job.name, job.places, providers=registry.contracts(), start=start)
            return Evaluated(spots=tuple(spots))
        own = [Path(one) for one in job.catalogues]
        catalogue = load_catalogue(own) if own else LazyCatalogue(load_catalogue)

        def judge(workflow: Workflow) -> list[PathDiagnostic]:
            refused_sources = job.allowed.refused_sources(workflow, catalogue)
            return [*job.allowed.refused(workflow), *refused_sources, *static_findings(workflow, catalogue)]

        loaded = load_source(
            text,
            job.name,
            providers=registry.contracts(),
            catalogue=catalogue,
            judge=judge,
            original=job.text if job.is_definition else "",
            start=start,
        )
        if loaded.workflow is not None:
            workflow = job.allowed.bound_sources(job.allowed.bound(loaded.workflow), catalogue)
            loaded = replace(loaded, workflow=workflow)
    except BatchwrightError as error:
        return Evaluated(error=type(error).__name__, message=error.message, hint=error.hint)
    except MemoryError:
        return Evaluated(
            refused(job.name, "too-much-memory", f"reading it takes more than {MEMORY // MIB} MiB of memory")
        )
    return Evaluated(loaded)


def refused(name: str, code: str, message: str) -> Loaded:
    """The result of an evaluation that found exactly one mistake."""
    return Loaded(None, (Diagnostic(code, message, file=name, line=1, column=1),))


def definition(text: str) -> str:
    """The text of a JSON definition as a file would have it. An evaluated workflow may leave out the outer record and
    say null for what is not set. Raises BodyUnreadable."""
    if too_deep(text, UNTRUSTED.depth) is not None:
        return text  # the loader says where
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BodyUnreadable(f"the body is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise BodyUnreadable("the body is not a JSON object", hint='Send {"batch_workflow": {...}}.')
    bare = _without_nulls(found)
    if "batch_workflow" in found and bare == found:
        return text  # unchanged, so that positions in it are right
    return msgspec.json.encode(bare if "batch_workflow" in found else {"batch_workflow": bare}).decode()


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value


def _read(stream: BinaryIO, size: int) -> bytes:
    body = stream.read(size)
    if len(body) < size:
        sys.exit()  # the caller is gone
    return body


def _peak() -> int:
    """The most memory that this program has used, in KiB; getrusage counts what its parent used before, too."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0])
    except (OSError, IndexError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Work until the input ends."""
    os.nice(10)  # processes that drive runs come first
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    memory = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (memory, hard))
    requests, answers, forks = sys.stdin.buffer, sys.stdout.buffer, EvaluatorForks()
    while True:
        job = decode_job(_read(requests, *LENGTH.unpack(_read(requests, LENGTH.size))))
        answer = replace(evaluated(job, forks.fork), memory=_peak())
        del job
        body = encode(answer)
        answers.write(LENGTH.pack(len(body)) + body)
        answers.flush()
        del answer, body


if __name__ == "__main__":
    main()
