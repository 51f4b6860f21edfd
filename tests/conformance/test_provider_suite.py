"""The provider suite itself: an adapter with one fault in it is caught by the test that is about that fault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from msgspec.structs import replace

from batchwright.model.call_outcome import Created, Going, Gone, Observed, Rejected, ServerState, Unknown
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.ids import Token
from batchwright.model.plan import Guard
from batchwright.model.scalar import Scalar
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Provider, ProviderHealthReport
from batchwright.providers.simulated import Simulated, Simulation, World
from tests.conformance.test_providers import SimulatedRig

CREATED = Created | Rejected | Unknown
CHANGED = Created | Going | Rejected | Unknown
DESTROYED = Gone | Going | Rejected | Unknown


class SaysNothingIsWrong(Simulated):
    def validate(self, config: ServerConfig) -> list[Diagnostic]:
        return []


class ResolvesDifferentlyEachTime(Simulated):
    times = 0

    async def resolve(self, configs: Sequence[ServerConfig]) -> list[ServerRequest | list[Diagnostic]]:
        self.times += 1
        answers = await super().resolve(configs)
        return [replace(a, user_data=str(self.times)) if isinstance(a, ServerRequest) else a for a in answers]


class ForgetsTheRun(Simulated):
    async def find(self, run: str | None = None, token: str | None = None) -> list[Observed]:
        return [replace(o, run="") for o in await super().find(run, token)]


class ListsOnePageOnly(Simulated):
    async def find(self, run: str | None = None, token: str | None = None) -> list[Observed]:
        return (await super().find(run, token))[:10]


class IgnoresTheRunAskedFor(Simulated):
    async def find(self, run: str | None = None, token: str | None = None) -> list[Observed]:
        return await super().find(None, token)


class DescribesOnlyWhatItKnows(Simulated):
    async def describe(self, refs: Sequence[str]) -> dict[str, Observed]:
        seen = await super().describe(refs)
        return {ref: o for ref, o in seen.items() if o.state is not ServerState.NOT_VISIBLE}


class SaysGoneTooEarly(Simulated):
    async def destroy(self, ref: str) -> DESTROYED:
        await super().destroy(ref)
        return Gone()


class DestroysOnce(Simulated):
    async def destroy(self, ref: str) -> DESTROYED:
        answer = await super().destroy(ref)
        self.gone = getattr(self, "gone", set())
        if answer == Gone() and ref in self.gone:
            return Unknown("there is no such server")
        self.gone |= {ref} if answer == Gone() else set()
        return answer


class RetriesInside(Simulated):
    async def create(self, request: ServerRequest, token: Token) -> CREATED:
        await super().create(request, token)
        return await super().create(request, token)


class ClaimsATokenGuard(Simulated):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        inner = self.capabilities
        self.capabilities = replace(inner, guard=Guard.TOKEN)
        self._repeated = lambda *_: None  # type: ignore[method-assign]


class CallsALostAnswerARefusal(Simulated):
    async def create(self, request: ServerRequest, token: Token) -> CREATED:
        answer = await super().create(request, token)
        if isinstance(answer, Unknown):
            return self._rejected("transient")  # type: ignore[arg-type]
        return answer


class MakesWhatItRejects(Simulated):
    async def create(self, request: ServerRequest, token: Token) -> CREATED:
        answer = await super().create(request, token)
        if isinstance(answer, Rejected):
            await super().create(replace(request, plan="1xCPU-2GB"), token)
        return answer


class PromisesTooShortASettleTime(Simulated):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.capabilities = replace(self.capabilities, settle_seconds=0.1)


class ForgetsWhoseTheLabelsAre(Simulated):
    def _change(self, ref: str, request: ServerRequest, before: ServerRequest) -> Any:
        server = self._own(ref)
        found = server.request.labels if server is not None else {}
        return super()._change(ref, request, replace(before, labels={**found, **before.labels}))


class ShowsTheLabelsOfItsRecord(Simulated):
    """It tells what was asked for, and never looks."""

    async def describe(self, refs: Sequence[str]) -> dict[str, Observed]:
        seen = await super().describe(refs)
        self.first = {ref: one.labels for ref, one in seen.items()} | getattr(self, "first", {})
        return {ref: replace(one, labels=self.first[ref]) for ref, one in seen.items()}


class LeavesTheFormerPlan(Simulated):
    async def change(self, ref: str, request: ServerRequest, before: ServerRequest) -> CHANGED:
        return await super().change(ref, replace(request, plan=before.plan), before)


class CallsALostChangeARefusal(Simulated):
    async def change(self, ref: str, request: ServerRequest, before: ServerRequest) -> CHANGED:
        answer = await super().change(ref, request, before)
        return self._rejected("transient") if isinstance(answer, Unknown) else answer  # type: ignore[arg-type]


class LeavesARefusedServerStopped(Simulated):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._changes._started = self._started  # type: ignore[method-assign, assignment]

    def _started(self, *_: Any) -> Any:
        return Going("it does not start"), 0.0


class TakesAStrangerForItsOwn(Simulated):
    def _own(self, ref: str) -> Any:
        server = super()._own(ref)
        if server is not None and not server.run:
            server.run, server.token = "own", "own"
        return server


class ChangesWhatIsGone(Simulated):
    async def change(self, ref: str, request: ServerRequest, before: ServerRequest) -> CHANGED:
        answer = await super().change(ref, request, before)
        return Created(ref) if isinstance(answer, Rejected) else answer


class IsNeverWell(Simulated):
    async def health(self) -> ProviderHealthReport:
        return ProviderHealthReport(False, "no")


class HasAnAccountPerClient(Simulated):
    async def account(self) -> str:
        return f"account-{id(self)}"


class Rig(SimulatedRig):
    patience = 60.0
    settings: ClassVar[dict[str, Scalar]] = {"list_lag": 3, "fail": "nobody=late"}

    def __init__(self, adapter: type[Simulated]) -> None:
        self.adapter, self.world = adapter, World()

    def _client(self, settings: dict[str, Scalar]) -> Provider:
        return self.adapter("upcloud", self.world, self.clock(), Simulation.from_settings(settings))

    def losing_client(self) -> Provider:
        return self._client({**self.settings, "late_commits": 1})


@pytest.mark.parametrize(
    ("adapter", "test"),
    [
        (SaysNothingIsWrong, "a_bad_plan_is_named_offline_and_not_resolved"),
        (ResolvesDifferentlyEachTime, "resolve_is_repeatable_and_keeps_the_order"),
        (ForgetsTheRun, "what_was_made_becomes_ready_and_carries_its_labels"),
        (ListsOnePageOnly, "many_at_once_are_all_listed_and_described_together"),
        (IgnoresTheRunAskedFor, "find_tells_runs_and_tokens_apart"),
        (DescribesOnlyWhatItKnows, "describe_answers_every_reference"),
        (SaysGoneTooEarly, "destroy_ends_in_gone_and_can_be_repeated"),
        (DestroysOnce, "destroy_ends_in_gone_and_can_be_repeated"),
        (RetriesInside, "what_was_made_becomes_ready_and_carries_its_labels"),
        (ClaimsATokenGuard, "the_guard_is_what_the_capabilities_say"),
        (CallsALostAnswerARefusal, "a_lost_answer_is_unknown_and_comes_to_light_within_the_settle_time"),
        (PromisesTooShortASettleTime, "a_lost_answer_is_unknown_and_comes_to_light_within_the_settle_time"),
        (MakesWhatItRejects, "rejected_means_that_nothing_is_made"),
        (ForgetsWhoseTheLabelsAre, "labels_become_those_asked_for_and_the_others_stay"),
        (ShowsTheLabelsOfItsRecord, "looks_show_the_labels_as_they_are_without_our_own"),
        (LeavesTheFormerPlan, "another_plan_is_the_only_thing_that_changes"),
        (CallsALostChangeARefusal, "each_call_of_a_change_is_repeated_after_a_lost_answer"),
        (LeavesARefusedServerStopped, "a_refused_plan_leaves_the_server_running_with_the_former_one"),
        (TakesAStrangerForItsOwn, "a_server_that_is_not_ours_is_not_changed"),
        (ChangesWhatIsGone, "a_server_that_is_gone_is_not_changed"),
        (IsNeverWell, "it_opens_and_closes_more_than_once"),
        (HasAnAccountPerClient, "two_clients_are_the_same_account"),
    ],
)
def test_a_faulty_adapter_is_caught(adapter: type[Simulated], test: str) -> None:
    getattr(Rig(Simulated), f"test_{test}")()
    with pytest.raises(AssertionError):
        getattr(Rig(adapter), f"test_{test}")()
