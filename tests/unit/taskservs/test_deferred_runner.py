"""A runner that is made at its first call, so that what installs nothing does not load SSH."""

import asyncio
import subprocess
import sys

from batchwright.model.call_outcome import Applied, CheckResult
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.taskservs.base import NO_JOB, Runner, Target, TaskservCall
from batchwright.taskservs.deferred_runner import DeferredRunner

REQUEST = TaskservRequest("nginx", "1.22", "local", {})
TARGET = Target("local", "local-1", "web-01", "127.0.0.1")


class Recorded:
    """A runner that records what it is called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    async def install(self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB) -> Applied:
        self.calls.append(("install", request, target, job))
        return Applied(True)

    async def remove(self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB) -> Applied:
        self.calls.append(("remove", request, target, job))
        return Applied(False)

    async def installed(self, target: Target) -> tuple[str, ...]:
        self.calls.append(("installed", target))
        return ("nginx",)

    async def preview(self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB) -> tuple[str, ...]:
        self.calls.append(("preview", request, target, job))
        return ("Install nginx",)

    async def check(
        self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB
    ) -> tuple[CheckResult, ...]:
        self.calls.append(("check", request, target, job))
        return (CheckResult("unit", True),)


def test_each_call_goes_to_the_one_runner_as_it_is() -> None:
    made: list[Recorded] = []

    def make() -> Runner:
        made.append(Recorded())
        return made[-1]

    async def calls() -> list[object]:
        runner, job = DeferredRunner(make), TaskservCall("token")
        assert not made
        return [
            await runner.install(REQUEST, TARGET, job),
            await runner.remove(REQUEST, TARGET, job),
            await runner.installed(TARGET),
            await runner.preview(REQUEST, TARGET, job),
            await runner.check(REQUEST, TARGET, job),
        ]

    answers = [Applied(True), Applied(False), ("nginx",), ("Install nginx",), (CheckResult("unit", True),)]
    assert asyncio.run(calls()) == answers
    (one,) = made
    verbs = ("install", "remove", "preview", "check")
    job = TaskservCall("token")
    assert [call for call in one.calls if call[0] != "installed"] == [(verb, REQUEST, TARGET, job) for verb in verbs]
    assert ("installed", TARGET) in one.calls


def test_ssh_is_not_loaded_before_that() -> None:
    code = """
import sys
from pathlib import Path
from batchwright.app.adapters import SharedRunner
from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
SharedRunner(Settings(Path("state")), SystemClock()).get(())
print("asyncssh" in sys.modules, "pyinfra" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["False", "False"], "")
