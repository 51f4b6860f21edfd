"""A runner that is made when it is first used: loading SSH takes longer than a plan that finds nothing to do."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from batchwright.model.call_outcome import Applied, CheckResult, Rejected, Unknown
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.taskservs.base import NO_JOB, Runner, Target, TaskservCall


class DeferredRunner:
    """Passes each call on to the runner that `make` gives at the first one."""

    def __init__(self, make: Callable[[], Runner]) -> None:
        self._make = make

    @cached_property
    def _runner(self) -> Runner:
        return self._make()

    async def install(
        self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB
    ) -> Applied | Rejected | Unknown:
        return await self._runner.install(request, target, job)

    async def installed(self, target: Target) -> tuple[str, ...]:
        return await self._runner.installed(target)

    async def preview(self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB) -> tuple[str, ...]:
        return await self._runner.preview(request, target, job)

    async def check(
        self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB
    ) -> tuple[CheckResult, ...]:
        return await self._runner.check(request, target, job)

    async def remove(
        self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB
    ) -> Applied | Rejected | Unknown:
        return await self._runner.remove(request, target, job)
