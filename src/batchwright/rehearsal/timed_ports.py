"""Simulated ports whose calls take as long as the plan estimates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchwright.commands.base import Launch
from batchwright.model.call_outcome import Applied, Rejected, Unknown
from batchwright.model.clock import Clock
from batchwright.operations.command import CommandRequest
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.rehearsal.command_ledger import CommandLedger
from batchwright.taskservs.base import NO_JOB, Runner, Target, TaskservCall


class TimedRunner:
    """Installs and removes in the seconds of a step; `steps` are by the names of server and task service."""

    def __init__(
        self, inner: Runner, clock: Clock, steps: Mapping[tuple[str, str], str], seconds: Mapping[str, float]
    ) -> None:
        self._inner, self._clock, self._steps, self._seconds = inner, clock, steps, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def _passes(self, request: TaskservRequest, target: Target) -> None:
        step = self._steps.get((target.name, request.name), "")
        await self._clock.sleep(self._seconds.get(step, 0.0))

    async def install(
        self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB
    ) -> Applied | Rejected | Unknown:
        await self._passes(request, target)
        return await self._inner.install(request, target, job)

    async def remove(
        self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB
    ) -> Applied | Rejected | Unknown:
        await self._passes(request, target)
        return await self._inner.remove(request, target, job)


class TimedLedger(CommandLedger):
    """Programs take the seconds of their step."""

    def __init__(self, clock: Clock, seconds: Mapping[str, float]) -> None:
        super().__init__(clock)
        self._estimates = seconds

    async def launch(self, request: CommandRequest, launch: Launch) -> Applied | Rejected | Unknown:
        self.seconds = self._estimates.get(launch.step, 1.0)
        return await super().launch(request, launch)
