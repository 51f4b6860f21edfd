"""The service's evaluator workers, kept from one test's service to the next: to start one takes 0.2 s of CPU.

Each evaluates with one process for all of its jobs: to start that takes longer than to evaluate a workflow.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from batchwright.loader import UNTRUSTED
from batchwright.service import evaluator_worker
from batchwright.service.evaluator_pool import MEMORY_KIB, PASSED_ON, USES, _Lost
from batchwright.service.evaluator_worker import LENGTH, Evaluated, EvaluationJob, decode_answer, encode
from tests.support.shared_evaluator import SharedEvaluator

KEPT = 2  # idle workers at most
ROOT = Path(__file__).parents[2]

Surroundings = tuple[dict[str, str], Path]


class SharedEvaluatorWorker:
    """Takes the place of a worker in the pool. A test with another environment or working directory gets another."""

    idle: ClassVar[list[SharedEvaluatorWorker]] = []

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**surroundings[0], "PYTHONPATH": f"{ROOT}:{surroundings[0].get('PYTHONPATH', '')}"},
            start_new_session=True,
        )
        self._uses, self._memory = 0, 0
        self._asked = False  # and not answered

    @classmethod
    async def begun(cls) -> SharedEvaluatorWorker:
        """Takes the place of the pool's function of this name."""
        now = {name: os.environ[name] for name in PASSED_ON if name in os.environ}, Path.cwd()
        for worker in cls.idle:
            if worker._surroundings == now and worker.is_fresh:
                cls.idle.remove(worker)
                return worker
        return cls(now)

    async def ask(self, job: EvaluationJob) -> Evaluated:
        """Raises _Lost."""
        self._uses += 1
        self._asked = True
        answer = decode_answer(await asyncio.to_thread(self._exchanged, encode(job)))
        self._asked, self._memory = False, answer.memory
        return answer

    def _exchanged(self, body: bytes) -> bytes:
        stdin, stdout = self._pipes
        try:
            stdin.write(LENGTH.pack(len(body)) + body)
            stdin.flush()
        except OSError as error:
            raise _Lost from error
        head = stdout.read(LENGTH.size)
        told: bytes = stdout.read(*LENGTH.unpack(head)) if len(head) == LENGTH.size else b""
        if not told:
            raise _Lost
        return told

    @property
    def _pipes(self) -> tuple[Any, Any]:
        return self._process.stdin, self._process.stdout

    @property
    def is_fresh(self) -> bool:
        """Whether it may be used again."""
        spent = self._uses >= USES or self._memory >= MEMORY_KIB
        return self._process.poll() is None and not spent and not self._asked

    async def end(self) -> None:
        """Its service is over: the next may have it."""
        if self.is_fresh:
            SharedEvaluatorWorker.idle.append(self)
        else:
            self._killed()
        while len(SharedEvaluatorWorker.idle) > KEPT:
            SharedEvaluatorWorker.idle.pop(0)._killed()

    def _killed(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in self._pipes:
            with contextlib.suppress(BrokenPipeError):  # what it was still to be told
                pipe.close()

    @classmethod
    def end_all(cls) -> None:
        """End the idle ones."""
        while cls.idle:
            cls.idle.pop()._killed()


if __name__ == "__main__":
    import_module("batchwright.loader.load").Evaluator = SharedEvaluator  # type: ignore[attr-defined]
    SharedEvaluator.shared_by = (UNTRUSTED,)
    evaluator_worker.main()
