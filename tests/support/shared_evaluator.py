"""One process that evaluates Nickel for all tests of a session, where its confinement is not what is tested."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Collection, Iterable
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import ClassVar

from msgspec.structs import replace

import batchwright
from batchwright.loader import policy_file, rehearsal_rules
from batchwright.loader.duplicate_keys import DuplicateKey
from batchwright.loader.evaluator_client import EvaluationLimitExceeded, Evaluator, StartChild
from batchwright.loader.limits import LOCAL, LoaderLimits

USES = 200  # of one process; then there is a new one
SCHEMAS = str(Path(batchwright.__file__).parent / "schemas")  # they import one another, and stay as they are
KEPT_BYTES = 2_000_000
MARK = b"\0mark\0"


def _of_process(limits: LoaderLimits) -> tuple[object, ...]:
    return limits.memory_mib, limits.stack_mib, limits.cpu_seconds, limits.wall_seconds, limits.must_confine


def _meaning(expression: str) -> tuple[str | None, bytes]:
    """The expression with the content of its files in place of their paths, None if they may import others, and the
    mark of its problems, which is another each time."""
    found = re.search('mark = "([^"]+)"', expression)
    mark = found[1] if found else ""

    def content(path: re.Match[str]) -> str:
        try:
            read = Path(path[1]).read_bytes()
        except OSError:
            return path[0]
        if b"import" in read and not path[1].startswith(SCHEMAS):
            raise ValueError
        return sha256(read).hexdigest()

    try:
        meant = re.sub(r'"(/[^"\n]*)"', content, expression)
    except ValueError:
        return None, b""
    return (meant.replace(mark, "") if mark else meant), mark.encode()


class SharedEvaluator:
    """Takes the place of Evaluator in the loader. With limits of its own, a test gets a process of its own.

    The shared process has as much time for each expression as a process of its own has for all.
    """

    shared_by: ClassVar[tuple[LoaderLimits, ...]] = (LOCAL, policy_file.LIMITS, rehearsal_rules.LIMITS)
    process: ClassVar[Evaluator | None] = None
    uses: ClassVar[int] = 0
    known: ClassVar[dict[str | None, bytes]] = {}  # what was evaluated without an error

    def __init__(
        self,
        limits: LoaderLimits,
        readable: Iterable[Path],
        *,
        repeats: Collection[str] = (),
        start: StartChild | None = None,
    ) -> None:
        self._limits, self._readable = limits, list(readable)
        shared = _of_process(limits) in map(_of_process, self.shared_by)
        self._own = None if shared else Evaluator(limits, self._readable, repeats=repeats, start=start)

    def __enter__(self) -> SharedEvaluator:
        cls = SharedEvaluator
        if self._own is not None:
            self._own.__enter__()
        elif cls.process is None or cls.uses == USES:
            self.end()
            patient = replace(self.shared_by[0], cpu_seconds=600, wall_seconds=3600.0)
            # a text of a client stands in a folder for temporary files, another each time
            readable = [*self._readable, Path(tempfile.gettempdir())] if patient.must_confine else [Path("/")]
            cls.process, cls.uses = Evaluator(patient, readable, repeats=["json", "yaml"]).__enter__(), 0
        cls.uses += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own is not None:
            self._own.__exit__(kind, error, trace)
        elif kind is not None and not issubclass(kind, Exception):
            self.end()  # it may be amid an answer

    def run(self, expression: str) -> bytes:
        """See Evaluator. What the same files have given once, they give again."""
        key, mark = _meaning(expression) if self._own is None else (None, b"")
        if key in SharedEvaluator.known:
            return SharedEvaluator.known[key].replace(MARK, mark)
        try:
            given = self._evaluator.run(expression)
        except EvaluationLimitExceeded:
            self.end()
            raise
        if key and len(given) < KEPT_BYTES:
            SharedEvaluator.known[key] = given.replace(mark, MARK) if mark else given
        return given

    def repeats(self, text: str, form: str) -> list[DuplicateKey]:
        """See Evaluator."""
        try:
            return self._evaluator.repeats(text, form)
        except EvaluationLimitExceeded:
            self.end()
            raise

    @property
    def _evaluator(self) -> Evaluator:
        evaluator = self._own or SharedEvaluator.process
        if evaluator is None:  # it died in an earlier expression of the same `with`
            raise EvaluationLimitExceeded("evaluator-failed", "the evaluator has ended")
        if self._own is None:
            evaluator._deadline, evaluator._limits = time.monotonic() + self._limits.wall_seconds, self._limits
        return evaluator

    @staticmethod
    def end() -> None:
        """End the shared process."""
        if SharedEvaluator.process is not None:
            SharedEvaluator.process.__exit__(None, None, None)
            SharedEvaluator.process = None
