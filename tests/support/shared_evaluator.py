"""One process that evaluates Nickel for all tests of a session, where its confinement is not what is tested."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from msgspec.structs import replace

from batchwright.loader.duplicate_keys import DuplicateKey
from batchwright.loader.evaluator_client import EvaluationLimitExceeded, Evaluator
from batchwright.loader.limits import LOCAL, LoaderLimits

USES = 200  # of one process; then there is a new one
PATIENT = replace(LOCAL, cpu_seconds=600, wall_seconds=3600.0)


class SharedEvaluator:
    """Takes the place of Evaluator in the loader. With limits of its own, a test gets a process of its own."""

    process: Evaluator | None = None
    uses = 0

    def __init__(self, limits: LoaderLimits, readable: Iterable[Path], *, repeats: bool = False) -> None:
        usual = (limits.memory_mib, limits.stack_mib, limits.cpu_seconds, limits.wall_seconds, limits.must_confine)
        shared = usual == (LOCAL.memory_mib, LOCAL.stack_mib, LOCAL.cpu_seconds, LOCAL.wall_seconds, LOCAL.must_confine)
        self._own = None if shared else Evaluator(limits, readable, repeats=repeats)

    def __enter__(self) -> SharedEvaluator:
        cls = SharedEvaluator
        if self._own is not None:
            self._own.__enter__()
        elif cls.process is None or cls.uses == USES:
            self.end()
            cls.process, cls.uses = Evaluator(PATIENT, [Path("/")], repeats=True).__enter__(), 0
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
        """See Evaluator."""
        try:
            return self._evaluator.run(expression)
        except EvaluationLimitExceeded:
            self.end()
            raise

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
        return evaluator

    @staticmethod
    def end() -> None:
        """End the shared process."""
        if SharedEvaluator.process is not None:
            SharedEvaluator.process.__exit__(None, None, None)
            SharedEvaluator.process = None
