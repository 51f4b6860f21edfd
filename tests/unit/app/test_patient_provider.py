"""Reads that come before anything is driven: one that fails is made again, and what is waited for is reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchwright.app.adapters import Adapters
from batchwright.app.patient_provider import PatientProvider
from batchwright.engine.read_retry import OUTAGE_SECONDS, SOON_SECONDS, ReadRetry
from batchwright.errors import ProviderThrottled, ProviderUnavailable
from batchwright.model.call_outcome import Unknown
from batchwright.model.lifecycle import RunState
from batchwright.providers.base import ProviderHealthReport
from batchwright.providers.simulated import Simulated, Simulation, World
from batchwright.testing.virtual_clock import VirtualClock, run_virtual
from tests.unit.app.test_runs import House, housed, small

READS: dict[str, Callable[[Any], Any]] = {
    "account": lambda provider: provider.account(),
    "quota": lambda provider: provider.quota(),
    "quote": lambda provider: provider.quote([]),
    "resolve": lambda provider: provider.resolve([]),
    "quota_after": lambda provider: provider.quota_after([]),
    "find": lambda provider: provider.find(),
    "describe": lambda provider: provider.describe([]),
    "access": lambda provider: provider.access([]),
    "open": lambda provider: provider.open(),
}


def failing(inner: Any, method: str, error: Exception, times: int) -> list[int]:
    """Let the first calls of a method fail; gives a list that grows with every call."""
    real, asked = getattr(inner, method), list[int]()

    async def call(*args: Any) -> Any:
        asked.append(len(asked))
        if len(asked) <= times:
            raise error
        return await real(*args)

    setattr(inner, method, call)
    return asked


def patient(told: list[str]) -> tuple[Simulated, PatientProvider]:
    clock = VirtualClock()
    inner = Simulated("upcloud", World(None), clock, Simulation.instant())
    looks = ReadRetry(clock, tell=lambda provider, why, _: told.append(f"{provider}: {why}"))
    return inner, PatientProvider(inner, looks)


@pytest.mark.parametrize("read", READS)
def test_a_read_that_fails_is_made_again_and_told_once(read: str) -> None:
    """E7: every read of the port."""
    told: list[str] = []

    async def play() -> None:
        inner, provider = patient(told)
        asked = failing(inner, read, ProviderUnavailable("HTTP 502", passing=True), 3)
        await READS[read](provider)
        assert len(asked) == 4

    run_virtual(play())
    assert told == ["upcloud: HTTP 502"]


@pytest.mark.parametrize("read", READS)
def test_a_read_that_is_refused_for_good_is_not(read: str) -> None:
    """E7: nobody waits for credentials that are wrong."""

    async def play() -> None:
        inner, provider = patient([])
        asked = failing(inner, read, ProviderUnavailable("HTTP 401", hint="Look.", passing=False), 9)
        with pytest.raises(ProviderUnavailable, match="HTTP 401") as caught:
            await READS[read](provider)
        assert (caught.value.hint, len(asked)) == ("Look.", 1)

    run_virtual(play())


@pytest.mark.parametrize("error", [ProviderUnavailable("HTTP 502", passing=True), OSError("no route"),
                                   ProviderThrottled("slow", retry_after=3.0)])  # fmt: skip
def test_a_read_that_goes_on_failing_raises_what_it_raised(error: Exception) -> None:
    async def play() -> float:
        clock = VirtualClock()
        inner, provider = patient([])
        failing(inner, "account", error, 1_000)
        began = clock.now()
        with pytest.raises(type(error)) as caught:
            await provider.account()
        assert caught.value is error
        return clock.now() - began

    assert SOON_SECONDS <= run_virtual(play()) < SOON_SECONDS + 30.0


def test_health_that_may_pass_is_asked_again() -> None:
    """E7: a 502 is no verdict about the account."""

    async def play() -> None:
        inner, provider = patient([])
        answers = [
            ProviderHealthReport(False, "HTTP 502", passing=True),
            ProviderHealthReport(False, "HTTP 502", passing=True),
        ]
        real = inner.health

        async def health() -> ProviderHealthReport:
            return answers.pop() if answers else await real()

        inner.health = health  # type: ignore[method-assign]
        assert (await provider.health()).ok
        answers[:] = [ProviderHealthReport(False, "HTTP 401")]
        assert await provider.health() == ProviderHealthReport(False, "HTTP 401")
        answers[:] = [ProviderHealthReport(False, "HTTP 502", passing=True)] * 100
        assert (await provider.health()).message == "HTTP 502"

    run_virtual(play())


def test_a_create_is_never_sent_a_second_time() -> None:
    async def play() -> None:
        inner, provider = patient([])
        sent: list[int] = []

        async def create(*_: Any) -> Unknown:
            sent.append(1)
            return Unknown("HTTP 502")

        inner.create = create  # type: ignore[method-assign,assignment]
        assert isinstance(await provider.create(None, None), Unknown)  # type: ignore[arg-type]
        assert len(sent) == 1

    run_virtual(play())


@pytest.mark.parametrize("seconds", [1.0, 300.0])
def test_an_account_that_cannot_be_asked_ends_no_verb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """E7: `resume` and `rollback` wait for GET /account, for minutes too."""
    real = Adapters._connect
    until = [0.0]

    def connect(self: Adapters, name: str) -> Any:
        provider = real(self, name)
        account = provider.account

        async def unsteady() -> str:
            if self.clock.now() < until[0]:
                raise ProviderUnavailable("HTTP 502", passing=True)
            return await account()

        provider.account = unsteady  # type: ignore[method-assign]
        return provider

    monkeypatch.setattr(Adapters, "_connect", connect)

    async def play(house: House) -> None:
        run_id = await house.create(small())
        for verb, wanted in ((house.resume, RunState.COMPLETED), (house.rollback, RunState.ROLLED_BACK)):
            until[0] = house.clock.now() + seconds
            assert (await verb(run_id, "me")).status is wanted
        assert house.alive() == []
        second = await house.create(small())
        until[0] = house.clock.now() + 100 * OUTAGE_SECONDS
        with pytest.raises(ProviderUnavailable, match="HTTP 502"):
            await house.resume(second, "me")

    housed(tmp_path, play)
