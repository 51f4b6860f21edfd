"""The part of the provider suite about servers that are changed in place: another plan, other labels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any
from unittest import SkipTest

from msgspec.structs import replace

from batchwright.model.call_outcome import Created, Rejected, ServerState, Unknown
from batchwright.model.clock import Clock
from batchwright.model.fault import FaultClass
from batchwright.model.update_behavior import ChangeWay
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import ChangesServers, Provider, ways_of_each
from batchwright.testing.provider_harness import ProviderHarness

Scenario = Callable[[ProviderHarness], Coroutine[Any, Any, None]]
CALLS_MAX = 500  # of one change, each followed by a pause


class ProviderChangeSuite:
    """What a test class tells about its cloud, in addition to `ProviderSuite`."""

    patience: float
    shows_labels = True  # whether looks show a server's labels

    def other_plan(self) -> str:
        """A plan that a server of `config` can get in place; empty if there is none."""
        return ""

    def refusing_client(self) -> Provider | None:
        """A client of the same account that refuses every other plan; None if that is impossible."""
        return None

    def change_losing_client(self) -> Provider | None:
        """A client of the same account whose changes take effect but are not answered; None if that is impossible."""
        return None

    def labels(self, ref: str) -> Mapping[str, str]:  # noqa: ARG002 - a fixture that can overrides it
        """The labels on a server, read without the adapter; empty if they cannot be read."""
        return {}

    def label(self, ref: str, key: str, value: str) -> None:
        """Put one more label on a server, without the adapter. Needed where `labels` tells any."""
        raise NotImplementedError

    def disown(self, ref: str) -> Callable[[], None] | None:  # noqa: ARG002 - a fixture that can overrides it
        """Take all labels from a server, without the adapter. What is returned puts them back; None if impossible."""
        return None

    def client(self) -> Provider:
        raise NotImplementedError

    def clock(self) -> Clock:
        raise NotImplementedError

    def config(self, name: str) -> ServerConfig:
        raise NotImplementedError

    def play(self, scenario: Scenario) -> None:
        raise NotImplementedError

    async def _resized(self, bench: ProviderHarness, name: str) -> ServerRequest:
        """The request for the server of this name with the other plan."""
        if not self.other_plan():
            raise SkipTest("no plan can be changed here")
        config = replace(self.config(name), plan=self.other_plan())
        (answer,) = await bench.provider.resolve([config])
        assert isinstance(answer, ServerRequest), answer
        return answer

    def _changes(self, bench: ProviderHarness) -> ChangesServers:
        capabilities = bench.provider.capabilities
        if capabilities.relabels is ChangeWay.REPLACE:
            assert capabilities.resizes is ChangeWay.REPLACE
            raise SkipTest("this provider changes no servers")
        assert isinstance(bench.provider, ChangesServers)
        return bench.provider

    async def _made(self, bench: ProviderHarness, name: str) -> tuple[str, ServerRequest]:
        self._changes(bench)
        ref = await bench.created(name)
        await bench.ready(ref)
        return ref, await bench.request(name)

    def test_ways_are_what_the_capabilities_say(self) -> None:
        async def scenario(bench: ProviderHarness) -> None:
            ref, request = await self._made(bench, "suite-ways")
            seen, capabilities = await bench.ready(ref), bench.provider.capabilities
            (ways,) = await ways_of_each(bench.provider, [(seen, request)])
            assert ways["labels"].way is capabilities.relabels is ChangeWay.LIVE
            if self.other_plan():
                (ways,) = await ways_of_each(bench.provider, [(seen, await self._resized(bench, "suite-ways"))])
                assert ways["plan"].way is capabilities.resizes is not ChangeWay.REPLACE
            assert {
                field: one.note for field, one in ways.items() if one.way is ChangeWay.REPLACE and not one.note
            } == {}

        self.play(scenario)

    def test_looks_show_the_labels_as_they_are_without_our_own(self) -> None:
        async def scenario(bench: ProviderHarness) -> None:
            given = dict((await bench.request("suite-shown")).labels)
            given |= {"tier": "web"} if self.shows_labels else {}
            ref = await bench.created("suite-shown", **given)
            await bench.ready(ref)

            async def shown() -> list[dict[str, str] | None]:
                looks = [(await bench.provider.describe([ref]))[ref], *await bench.provider.find(bench.run)]
                return [one.labels for one in looks if one.ref == ref]

            expected = given if self.shows_labels else None
            assert await shown() == [expected, expected]
            if not self.shows_labels or not self.labels(ref):
                return
            self.label(ref, "tier", "by-hand")
            self.label(ref, "cost-centre", "7")
            changed = {**given, "tier": "by-hand", "cost-centre": "7"}
            assert await shown() == [changed, changed]

        self.play(scenario)

    def test_labels_become_those_asked_for_and_the_others_stay(self) -> None:
        async def scenario(bench: ProviderHarness) -> None:
            ref, bare = await self._made(bench, "suite-labels")
            first = replace(bare, labels={**bare.labels, "tier": "web", "team": "a"})
            second = replace(bare, labels={**bare.labels, "tier": "db"})
            await bench.changed(ref, first, bare)
            own = self.labels(ref)
            if own:
                assert first.labels.items() <= own.items()
                self.label(ref, "cost-centre", "7")
            await bench.changed(ref, second, first)
            if own:
                kept = {key: value for key, value in own.items() if key not in ("tier", "team")}
                assert self.labels(ref) == {**kept, **second.labels, "cost-centre": "7"}
            await bench.changed(ref, bare, second)
            seen, token = await bench.ready(ref), bench.token("suite-labels")
            assert (seen.plan, seen.run, seen.token) == (bare.plan, token.run, token.value)
            assert [one.ref for one in await bench.provider.find(bench.run, token.value)] == [ref]

        self.play(scenario)

    def test_another_plan_is_the_only_thing_that_changes(self) -> None:
        async def scenario(bench: ProviderHarness) -> None:
            ref, small = await self._made(bench, "suite-resized")
            large, was = await self._resized(bench, "suite-resized"), await bench.ready(ref)
            kept = await bench.created("suite-kept")
            await bench.changed(ref, large, small)
            seen = await bench.ready(ref)
            assert replace(seen, plan=was.plan, address=was.address) == was
            assert seen.plan == large.plan != was.plan
            await bench.changed(ref, small, large)
            assert (await bench.ready(ref)).plan == was.plan
            assert {one.ref for one in await bench.provider.find(bench.run)} == {ref, kept}

        self.play(scenario)

    def test_a_change_can_be_repeated_and_sent_twice_at_once(self) -> None:
        async def scenario(bench: ProviderHarness) -> None:
            ref, small = await self._made(bench, "suite-twice")
            large, provider = await self._resized(bench, "suite-twice"), self._changes(bench)
            for _ in range(2):
                both = await asyncio.gather(provider.change(ref, large, small), provider.change(ref, large, small))
                assert all(not isinstance(one, Rejected) or one.fault.kind is FaultClass.BUSY for one in both), both
            await bench.changed(ref, large, small)
            await bench.ready(ref)
            assert isinstance(await provider.change(ref, large, small), Created)
            assert (await bench.ready(ref)).plan == large.plan

        self.play(scenario)

    def test_another_process_goes_on_after_each_step(self) -> None:
        async def scenario(bench: ProviderHarness) -> None:
            ref, small = await self._made(bench, "suite-passed-on")
            large = await self._resized(bench, "suite-passed-on")
            wanted = replace(large, labels={**large.labels, "tier": "web"})
            for _ in range(CALLS_MAX):
                other = self.client()
                await other.open()
                try:
                    assert isinstance(other, ChangesServers)
                    answer = await other.change(ref, wanted, small)
                finally:
                    await other.aclose()
                if isinstance(answer, Created):
                    break
                await bench.clock.sleep(bench.provider.capabilities.poll_seconds)
            assert isinstance(answer, Created), answer
            assert (await bench.ready(ref)).plan == large.plan
            assert not self.labels(ref) or self.labels(ref)["tier"] == "web"

        self.play(scenario)

    def test_each_call_of_a_change_is_repeated_after_a_lost_answer(self) -> None:
        async def scenario(bench: ProviderHarness) -> None:
            ref, small = await self._made(bench, "suite-lost")
            large, losing = await self._resized(bench, "suite-lost"), self.change_losing_client()
            if losing is None:
                raise SkipTest("this provider fixture cannot lose an answer")
            await losing.open()
            try:
                assert isinstance(losing, ChangesServers)
                answers = await bench.until_created(lambda: losing.change(ref, large, small))
            finally:
                await losing.aclose()
            assert any(isinstance(one, Unknown) for one in answers), answers
            assert not any(isinstance(one, Rejected) for one in answers), answers
            assert (await bench.ready(ref)).plan == large.plan

        self.play(scenario)

    def test_a_refused_plan_leaves_the_server_running_with_the_former_one(self) -> None:
        async def scenario(bench: ProviderHarness) -> None:
            ref, small = await self._made(bench, "suite-refused")
            large, refusing = await self._resized(bench, "suite-refused"), self.refusing_client()
            if refusing is None:
                raise SkipTest("this provider fixture cannot refuse a plan")
            await refusing.open()
            try:
                assert isinstance(refusing, ChangesServers)
                answers = await bench.until_rejected(lambda: refusing.change(ref, large, small))
            finally:
                await refusing.aclose()
            seen = await bench.running(ref)
            assert (seen.plan, seen.run) == (small.plan, bench.run), answers
            await bench.changed(ref, large, small)
            assert (await bench.ready(ref)).plan == large.plan

        self.play(scenario)

    def test_a_server_that_is_gone_is_not_changed(self) -> None:
        async def scenario(bench: ProviderHarness) -> None:
            ref, request = await self._made(bench, "suite-gone")
            await bench.gone(ref)
            wanted = replace(request, labels={**request.labels, "tier": "web"})
            answer = await self._changes(bench).change(ref, wanted, request)
            assert isinstance(answer, Rejected), answer
            assert answer.fault.kind is FaultClass.NOT_FOUND
            assert (await bench.provider.describe([ref]))[ref].state in (ServerState.GONE, ServerState.NOT_VISIBLE)

        self.play(scenario)

    def test_a_server_that_is_not_ours_is_not_changed(self) -> None:
        async def scenario(bench: ProviderHarness) -> None:
            ref, request = await self._made(bench, "suite-stranger")
            wanted, provider = replace(request, labels={"tier": "web"}), self._changes(bench)
            if self.other_plan():
                wanted = replace(await self._resized(bench, "suite-stranger"), labels={"tier": "web"})
            if (give_back := self.disown(ref)) is None:
                raise SkipTest("this provider fixture cannot take labels away")
            try:
                for _ in range(3):
                    answer = await provider.change(ref, wanted, request)
                    assert isinstance(answer, Rejected), answer
                    assert answer.fault.kind is FaultClass.CONFLICT
                assert "tier" not in self.labels(ref)
            finally:
                give_back()
            assert (await bench.ready(ref)).plan == request.plan

        self.play(scenario)
