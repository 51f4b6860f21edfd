"""The conformance tests of every provider, for adapter authors to inherit:

    class TestMyCloud(ProviderSuite):
        def client(self) -> Provider:
            return MyCloud(...)

Tests run in real time with asyncio.run unless `drive` says otherwise, on servers of a run of their own that are
destroyed again. What an adapter cannot show (a lost answer, say) is skipped, visibly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any
from unittest import SkipTest

from batchwright.model.call_outcome import Created, Going, Gone, Rejected, ServerState, Unknown
from batchwright.model.clock import Clock
from batchwright.model.fault import FaultClass
from batchwright.model.plan import Guard
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Provider
from batchwright.testing.provider_attachment_suite import ProviderAttachmentSuite, Scenario
from batchwright.testing.provider_change_suite import ProviderChangeSuite
from batchwright.testing.provider_harness import ProviderHarness

__all__ = ["ProviderHarness", "ProviderSuite"]

NOT_THERE = (ServerState.GONE, ServerState.NOT_VISIBLE)


class ProviderSuite(ProviderChangeSuite, ProviderAttachmentSuite):
    """Inherit it, define `client`, and let pytest collect it."""

    patience = 300.0  # seconds, by the clock, for a server to become ready or to go

    def client(self) -> Provider:
        """A new client, not open, of the account under test. Within a test always the same account."""
        raise NotImplementedError

    def clock(self) -> Clock:
        """The clock the provider runs on."""
        raise NotImplementedError

    def config(self, name: str) -> ServerConfig:
        """A small server that the provider can create."""
        raise NotImplementedError

    def bad_config(self) -> ServerConfig | None:
        """A configuration whose `plan` is invalid, as the provider can tell offline; None if any plan is valid."""
        return None

    def losing_client(self) -> Provider | None:
        """A client of the same account whose creates take effect but are not answered; None if that is impossible."""
        return None

    def drive(self, main: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine to its end."""
        asyncio.run(main)

    def play(self, scenario: Scenario) -> None:
        """Run a scenario with an open client and clean up after it."""

        async def main() -> None:
            provider = self.client()
            await provider.open()
            try:
                bench = ProviderHarness(provider, self.clock(), self.patience, self.config)
                try:
                    await scenario(bench)
                finally:
                    await bench.clean()
            finally:
                await provider.aclose()

        self.drive(main())

    # Before anything is made

    def test_capabilities_make_sense(self) -> None:
        capabilities = self.client().capabilities
        assert capabilities.settle_seconds >= 0
        assert capabilities.poll_seconds > 0
        assert capabilities.concurrency >= 1
        assert capabilities.call_timeout > 0
        assert min(capabilities.rate, capabilities.destroy_rate or 0.0) >= 0
        assert min(capabilities.burst, capabilities.destroy_burst or 1) >= 1

    def test_a_good_configuration_has_no_problem(self) -> None:
        assert self.client().validate(self.config("suite-good")) == []

    def test_a_bad_plan_is_named_offline_and_not_resolved(self) -> None:
        bad = self.bad_config()
        if bad is None:
            raise SkipTest("this provider takes any plan")

        async def scenario(bench: ProviderHarness) -> None:
            answers = await bench.provider.resolve([self.config("suite-good"), bad, self.config("suite-good-2")])
            assert [isinstance(answer, ServerRequest) for answer in answers] == [True, False, True]

        problems = self.client().validate(bad)
        assert [problem.field for problem in problems] == ["plan"]
        assert problems[0].message
        assert self.client().validate(bad) == problems
        self.play(scenario)

    def test_resolve_is_repeatable_and_keeps_the_order(self) -> None:
        async def scenario(bench: ProviderHarness) -> None:
            configs = [self.config(f"suite-{n}") for n in range(5)]
            first = await bench.provider.resolve(configs)
            assert [answer.name for answer in first if isinstance(answer, ServerRequest)] == [c.name for c in configs]
            assert await bench.provider.resolve(configs) == first, "a retry must send the same thing"

        self.play(scenario)

    def test_it_opens_and_closes_more_than_once(self) -> None:
        async def main() -> None:
            provider = self.client()
            await provider.open()
            assert (await provider.health()).ok
            await provider.aclose()
            await provider.aclose()

        self.drive(main())

    def test_two_clients_are_the_same_account(self) -> None:
        async def scenario(bench: ProviderHarness) -> None:
            other = self.client()
            await other.open()
            try:
                assert await other.account() == await bench.provider.account() != ""
            finally:
                await other.aclose()

        self.play(scenario)

    def test_quota_and_quote_answer(self) -> None:
        async def scenario(bench: ProviderHarness) -> None:
            request = await bench.request("suite-quoted")
            assert await bench.provider.quota_after([request]) == [], "the account has no room for one server"
            for used, limit in (await bench.provider.quota()).usage.values():
                assert 0 <= used <= limit
            one, two = await bench.provider.quote([request]), await bench.provider.quote([request, request])
            if one is not None:
                assert two is not None
                assert two.per_hour >= one.per_hour > 0
                assert two.currency == one.currency

        self.play(scenario)

    # Made, found, destroyed

    def test_what_was_made_becomes_ready_and_carries_its_labels(self) -> None:
        async def scenario(bench: ProviderHarness) -> None:
            ref = await bench.created("suite-web")
            seen, token, config = await bench.ready(ref), bench.token("suite-web"), self.config("suite-web")
            assert (seen.ref, seen.name, seen.run, seen.token) == (ref, "suite-web", token.run, token.value)
            assert (seen.plan, seen.zone) == (config.plan, config.zone)
            assert seen.address

        self.play(scenario)

    def test_find_tells_runs_and_tokens_apart(self) -> None:
        async def scenario(bench: ProviderHarness) -> None:
            one, two = await bench.created("suite-one"), await bench.created("suite-two")
            provider = bench.provider
            assert {o.ref for o in await provider.find(bench.run)} == {one, two}
            assert {one, two} <= {o.ref for o in await provider.find()}
            assert await provider.find("nosuchrun234") == []
            assert await provider.find(bench.run, bench.token("suite-three").value) == []
            assert [o.ref for o in await provider.find(token=bench.token("suite-two").value)] == [two]

        self.play(scenario)

    def test_many_at_once_are_all_listed_and_described_together(self) -> None:
        async def scenario(bench: ProviderHarness) -> None:
            names = [f"suite-{n:02}" for n in range(12)]
            answers = await asyncio.gather(
                *[bench.provider.create(await bench.request(name), bench.token(name)) for name in names]
            )
            refs = [answer.ref for answer in answers if isinstance(answer, Created)]
            assert len(refs) == len(set(refs)) == len(names), f"not all were created: {answers}"

            async def all_listed() -> bool:
                return {o.ref for o in await bench.provider.find(bench.run)} == set(refs)

            await bench.until("all are listed", all_listed)
            assert set(await bench.provider.describe(refs)) == set(refs)

        self.play(scenario)

    def test_describe_answers_every_reference(self) -> None:
        async def scenario(bench: ProviderHarness) -> None:
            ref = await bench.created("suite-known")
            unknown = self.unknown_ref(ref)
            seen = await bench.provider.describe([unknown, ref])
            assert set(seen) == {unknown, ref}
            assert seen[unknown].state in NOT_THERE
            assert seen[ref].state not in NOT_THERE
            assert await bench.provider.describe([]) == {}

        self.play(scenario)

    def unknown_ref(self, ref: str) -> str:
        """A well-formed reference of no server, made from one that exists: its last digit or letter is changed."""
        return ref[:-1] + ("0" if ref[-1] != "0" else "1")

    def test_destroy_ends_in_gone_and_can_be_repeated(self) -> None:
        async def scenario(bench: ProviderHarness) -> None:
            ref = await bench.created("suite-doomed")
            kept = await bench.created("suite-kept")
            await bench.gone(ref)
            assert await bench.provider.destroy(ref) == Gone()
            assert (await bench.provider.describe([ref]))[ref].state in NOT_THERE
            assert [o.ref for o in await bench.provider.find(bench.run)] == [kept]

        self.play(scenario)

    def test_two_destroys_at_once_do_no_harm(self) -> None:
        async def scenario(bench: ProviderHarness) -> None:
            ref = await bench.created("suite-doomed")
            answers = await asyncio.gather(bench.provider.destroy(ref), bench.provider.destroy(ref))
            assert all(
                isinstance(a, Gone | Going) or (isinstance(a, Rejected) and a.fault.kind is FaultClass.BUSY)
                for a in answers
            ), answers
            await bench.gone(ref)

        self.play(scenario)

    def test_another_client_finds_and_destroys_what_this_one_made(self) -> None:
        async def scenario(bench: ProviderHarness) -> None:
            ref = await bench.created("suite-shared")
            other = self.client()
            await other.open()
            try:
                assert [o.ref for o in await other.find(bench.run)] == [ref]
                await ProviderHarness(other, bench.clock, self.patience, self.config).gone(ref)
            finally:
                await other.aclose()
            assert (await bench.provider.describe([ref]))[ref].state in NOT_THERE

        self.play(scenario)

    # What the crash protocol stands on

    def test_the_guard_is_what_the_capabilities_say(self) -> None:
        async def scenario(bench: ProviderHarness) -> None:
            request, token = await bench.request("suite-twice"), bench.token("suite-twice")
            ref = await bench.created("suite-twice")
            again = await bench.provider.create(request, token)
            match bench.provider.capabilities.guard:
                case Guard.TOKEN:
                    assert isinstance(again, Created), again
                    assert again.ref == ref
                    other = await bench.provider.create(await bench.request("suite-other"), token)
                    assert isinstance(other, Rejected), f"a token was taken for two different requests: {other}"
                case Guard.UNIQUE_NAME:  # its own may be recognised, another's never
                    assert isinstance(again, Rejected) or again == Created(ref), again
                    other = await bench.provider.create(request, bench.token("suite-namesake"))
                    assert isinstance(other, Rejected) and other.fault.kind is FaultClass.CONFLICT, other  # noqa: PT018
                case Guard.LABEL_ONLY:
                    assert isinstance(again, Created), again
                    assert again.ref != ref, "if a repeated create is safe here, the guard should say so"
                    return
            await bench.settle()
            assert [o.ref for o in await bench.provider.find(bench.run)] == [ref]

        self.play(scenario)

    def test_rejected_means_that_nothing_is_made(self) -> None:
        bad = self.bad_config()
        if bad is None:
            raise SkipTest("this provider takes any plan")

        async def scenario(bench: ProviderHarness) -> None:
            good = await bench.request(bad.name)
            request = ServerRequest(bad.name, bad.plan, bad.zone, image=good.image, resolved=good.resolved)
            answer = await bench.provider.create(request, bench.token("suite-bad"))
            assert isinstance(answer, Rejected), answer
            assert answer.fault.kind is FaultClass.INVALID
            await bench.settle()
            assert await bench.provider.find(bench.run) == []

        self.play(scenario)

    def test_a_lost_answer_is_unknown_and_comes_to_light_within_the_settle_time(self) -> None:
        losing = self.losing_client()
        if losing is None:
            raise SkipTest("this provider fixture cannot lose an answer")

        async def scenario(bench: ProviderHarness) -> None:
            await losing.open()
            try:
                answer = await losing.create(await bench.request("suite-lost"), bench.token("suite-lost"))
            finally:
                await losing.aclose()
            assert isinstance(answer, Unknown), answer
            await bench.settle()
            found = await bench.provider.find(bench.run, bench.token("suite-lost").value)
            assert [o.name for o in found] == ["suite-lost"]

        self.play(scenario)

    def test_a_cancelled_create_leaves_at_most_what_can_be_found(self) -> None:
        async def scenario(bench: ProviderHarness) -> None:
            request, token = await bench.request("suite-cut"), bench.token("suite-cut")
            task = asyncio.ensure_future(bench.provider.create(request, token))
            await asyncio.sleep(0)  # the call has begun
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await bench.settle()
            found = await bench.provider.find(bench.run, token.value)
            assert len(found) <= 1
            for left in found:
                await bench.gone(left.ref)

        self.play(scenario)
