"""The process that rehearses a client's workflow: `python -m batchwright.service.rehearsal_worker`.

It reads one job and writes lines of JSON: how many runs there were so far, and at last the report or the error. It uses
so much memory and so many seconds at most, and is killed when nobody asks for it any more.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from batchwright.app.planned import workflow_invalid
from batchwright.app.rehearsal import RehearsalOptions, rehearse
from batchwright.app.settings import settings_from
from batchwright.app.system_clock import SystemClock
from batchwright.app.workflow_source import Source
from batchwright.errors import BatchwrightError
from batchwright.loader import UNTRUSTED
from batchwright.loader.limits import MIB
from batchwright.model.diagnostic import Diagnostic
from batchwright.service.evaluator_worker import definition
from batchwright.views.rehearsal import RehearsalView

MEMORY = 2_048 * MIB  # of addresses, most of which are never used
CPU_SECONDS = 300  # after which the kernel ends it, should the service be gone
TELL_SECONDS = 0.25  # between two lines about progress


class RehearsalJob(Struct, frozen=True):
    """A workflow's text, of which the end of `name` gives the format, and how it is rehearsed."""

    text: str
    name: str
    state_dir: str
    catalogues: tuple[str, ...] = ()
    environment: str = ""
    retire: bool = False
    faults: tuple[str, ...] = ()
    seconds: float = 30.0
    seed: int = 1
    at: str = ""
    against: str = ""


class RehearsalProblem(Struct, frozen=True):
    """Why it was not rehearsed."""

    code: str
    message: str
    hint: str | None = None
    diagnostics: tuple[Diagnostic, ...] = ()


class RehearsalLine(Struct, frozen=True, omit_defaults=True):
    """What the process says: `runs` so far, and in its last line the report or the problem."""

    runs: int = 0
    report: RehearsalView | None = None
    problem: RehearsalProblem | None = None


decode_line = msgspec.json.Decoder(RehearsalLine).decode


def _rehearsed(job: RehearsalJob) -> RehearsalLine:
    """The last line. The file stands in the current folder, so that reports name it as the client did."""
    file = Path(job.name)
    file.write_text(definition(job.text) if job.name.endswith(".json") else job.text, encoding="utf-8", newline="")
    source = Source(file, environment=job.environment, retire=job.retire)
    settings = settings_from(os.environ, Path(job.state_dir), [Path(one) for one in job.catalogues])
    told = 0.0

    def heard(runs: int) -> None:
        nonlocal told
        if time.monotonic() >= told + TELL_SECONDS:
            told = time.monotonic()
            _say(RehearsalLine(runs))

    options = RehearsalOptions(
        *(job.faults, job.seconds, job.seed, job.at, job.against),
        workers=1,
        at_most=True,
        command=("FILE",),
        limits=UNTRUSTED,
        heard=heard,
    )
    try:
        answer = rehearse(settings, SystemClock(), source, options)
        if answer.report is None:
            raise workflow_invalid(answer.planned.diagnostics)
    except BatchwrightError as error:
        told_of = tuple(getattr(error, "diagnostics", ()))
        return RehearsalLine(problem=RehearsalProblem(error.code, error.message, error.hint, told_of))
    except MemoryError:
        return RehearsalLine(
            problem=RehearsalProblem("too-much-memory", f"rehearsing it takes more than {MEMORY // MIB} MiB of memory")
        )
    return RehearsalLine(answer.report.coverage.runs, answer.report)


def _say(line: RehearsalLine) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    """Rehearse what stands on the input."""
    os.nice(10)  # processes that drive runs come first
    for kind, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, CPU_SECONDS)):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    job = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=RehearsalJob)
    with tempfile.TemporaryDirectory(prefix="batchwright-") as folder:
        os.chdir(folder)
        _say(_rehearsed(job))
        os.chdir("/")


if __name__ == "__main__":
    main()
