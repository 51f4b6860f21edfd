"""The conformance tests of every runner of task services, for authors to inherit. Repeating a call must be safe."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from msgspec.structs import replace

from batchwright.model.call_outcome import Applied, Rejected
from batchwright.model.fault import FaultClass
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.taskservs.base import Runner, Target

Scenario = Callable[[Runner, Target], Awaitable[None]]


class RunnerSuite:
    """Inherit it, define `rig`, and let pytest collect it."""

    taskserv = TaskservRequest("redis", "7.2", "simulated")

    async def rig(self) -> tuple[Runner, Target]:
        """A runner and a server that is ready and has nothing installed."""
        raise NotImplementedError

    async def spoil(self, runner: Runner, target: Target) -> None:
        """Break the installed task service, as another user of the server would."""
        await runner.remove(self.taskserv, target)

    def drive(self, main: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine to its end."""
        asyncio.run(main)

    def play(self, scenario: Scenario) -> None:
        """Run a scenario on a fresh server."""

        async def main() -> None:
            await scenario(*await self.rig())

        self.drive(main())

    def test_installed_once_and_again_changes_nothing(self) -> None:
        async def scenario(runner: Runner, target: Target) -> None:
            assert _changed(await runner.install(self.taskserv, target))
            assert not _changed(await runner.install(self.taskserv, target))

        self.play(scenario)

    def test_what_is_installed_is_told(self) -> None:
        async def scenario(runner: Runner, target: Target) -> None:
            assert await runner.installed(target) == ()
            await runner.install(self.taskserv, target)
            assert await runner.installed(target) == (self.taskserv.name,)
            await runner.remove(self.taskserv, target)
            assert await runner.installed(target) == ()

        self.play(scenario)

    def test_removed_once_and_again_changes_nothing(self) -> None:
        async def scenario(runner: Runner, target: Target) -> None:
            await runner.install(self.taskserv, target)
            assert _changed(await runner.remove(self.taskserv, target))
            assert not _changed(await runner.remove(self.taskserv, target))
            assert _changed(await runner.install(self.taskserv, target))

        self.play(scenario)

    def test_removing_what_never_was_there_is_no_error(self) -> None:
        async def scenario(runner: Runner, target: Target) -> None:
            assert not _changed(await runner.remove(self.taskserv, target))

        self.play(scenario)

    def test_a_preview_tells_what_would_change_and_changes_nothing(self) -> None:
        async def scenario(runner: Runner, target: Target) -> None:
            assert await runner.preview(self.taskserv, target)
            assert await runner.installed(target) == ()
            await runner.install(self.taskserv, target)
            assert await runner.preview(self.taskserv, target) == ()

        self.play(scenario)

    def test_checks_pass_when_it_is_installed_and_only_then(self) -> None:
        async def scenario(runner: Runner, target: Target) -> None:
            assert not all(check.ok for check in await runner.check(self.taskserv, target))
            await runner.install(self.taskserv, target)
            checks = await runner.check(self.taskserv, target)
            assert checks
            assert all(check.ok for check in checks), checks
            await runner.remove(self.taskserv, target)
            assert not all(check.ok for check in await runner.check(self.taskserv, target))

        self.play(scenario)

    def test_what_was_changed_by_somebody_else_is_seen_and_put_right(self) -> None:
        async def scenario(runner: Runner, target: Target) -> None:
            await runner.install(self.taskserv, target)
            await self.spoil(runner, target)
            assert not all(check.ok for check in await runner.check(self.taskserv, target))
            assert await runner.preview(self.taskserv, target)
            assert _changed(await runner.install(self.taskserv, target))
            assert all(check.ok for check in await runner.check(self.taskserv, target))

        self.play(scenario)

    def test_a_server_that_is_not_there_is_refused(self) -> None:
        async def scenario(runner: Runner, target: Target) -> None:
            nowhere = replace(target, ref=target.ref + "9", address="198.18.255.254", access=None)
            for call in (runner.install, runner.remove):
                answer = await call(self.taskserv, nowhere)
                assert isinstance(answer, Rejected), answer
                assert answer.fault.kind is FaultClass.NOT_FOUND

        self.play(scenario)


def _changed(answer: object) -> bool:
    assert isinstance(answer, Applied), answer
    return answer.changed
