"""The part of the provider suite about foreign things attached to a server: a destroy must never remove them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine
from typing import Any
from unittest import SkipTest

from batchwright.model.call_outcome import Gone
from batchwright.model.clock import Clock
from batchwright.model.workflow import ServerConfig
from batchwright.providers.base import Provider, ShowsAttached
from batchwright.testing.provider_harness import ProviderHarness

Scenario = Callable[[ProviderHarness], Coroutine[Any, Any, None]]


class ProviderAttachmentSuite:
    """What a test class tells about its cloud, in addition to `ProviderSuite`."""

    patience: float

    def attach(self, ref: str) -> Collection[str]:  # noqa: ARG002 - a fixture that can overrides it
        """Attach one of each possible foreign thing to a server, without our label and without the adapter.

        Each is set to be deleted with the server where that can be set. Returns their ids; empty if nothing can be
        attached.
        """
        return ()

    def foreign(self) -> Collection[str]:
        """The ids of the things from `attach` that still exist."""
        return ()

    def client(self) -> Provider:
        raise NotImplementedError

    def clock(self) -> Clock:
        raise NotImplementedError

    def config(self, name: str) -> ServerConfig:
        raise NotImplementedError

    def play(self, scenario: Scenario) -> None:
        raise NotImplementedError

    def _hang(self, ref: str) -> set[str]:
        hung = set(self.attach(ref))
        if not hung:
            raise SkipTest("nothing can be attached to a server here")
        return hung

    def test_a_destroy_leaves_what_is_not_ours_and_a_preview_names_it(self) -> None:
        """E1: a destroy leaves foreign things, and a preview names them."""

        async def scenario(bench: ProviderHarness) -> None:
            ref, kept = await bench.created("suite-laden"), await bench.created("suite-kept")
            await bench.ready(ref)
            hung = self._hang(ref)
            assert isinstance(bench.provider, ShowsAttached)
            shown = await bench.provider.attached([ref, kept])
            assert {one.server for one in shown} == {ref}
            assert all(any(name in one.what for one in shown) for name in hung), shown
            assert not any(one.blocks for one in shown)
            await bench.gone(ref)
            assert set(self.foreign()) == hung
            assert [o.ref for o in await bench.provider.find(bench.run)] == [kept], "all that is ours is gone"

        self.play(scenario)

    def test_a_destroy_that_dies_after_each_of_its_steps_leaves_it_too_and_nothing_of_ours(self) -> None:
        """E1: a new client takes every step, as after a SIGKILL between detaching and deleting."""

        async def step(ref: str) -> bool:
            other = self.client()
            await other.open()
            try:
                return isinstance(await other.destroy(ref), Gone)
            finally:
                await other.aclose()

        async def scenario(bench: ProviderHarness) -> None:
            ref = await bench.created("suite-laden")
            await bench.ready(ref)
            hung = self._hang(ref)

            async def ended() -> bool:
                return await step(ref) or all(one.ref != ref for one in await bench.provider.find(bench.run))

            await bench.until(f"{ref} is gone", ended)
            await bench.settle()

            async def swept() -> bool:
                left = await bench.provider.find(bench.run)
                for one in left:
                    await step(one.ref)
                return not left

            await bench.until("all that is ours is gone", swept)
            assert set(self.foreign()) == hung

        self.play(scenario)
