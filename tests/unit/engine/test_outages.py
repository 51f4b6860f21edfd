"""A cloud that has not answered for minutes, at any time: every kind of look waits for it, and no step pays for it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.engine.read_retry import OUTAGE_LOOKS, OUTAGE_SECONDS, PAUSE_MAX, Outage
from batchwright.errors import ProviderUnavailable
from batchwright.model import events as ev
from batchwright.model.call_outcome import Throttled, Unknown
from batchwright.model.lifecycle import RunState
from batchwright.providers.base import Provider
from batchwright.testing.virtual_clock import run_virtual
from tests.support.examples import share
from tests.unit.engine.stage import Stage, installs, runs, servers, undo

LOOKS = ("find", "describe", "access")
CALLS = ("create", "destroy")


class Shaky:
    """A provider that answers none of `methods` in the windows of time; `missed` are those that it did not."""

    def __init__(self, inner: Provider, stage: Stage, windows: list[tuple[float, float]], methods: tuple[str, ...]):
        self.name, self.capabilities = inner.name, inner.capabilities
        self._inner, self._stage, self._windows, self._methods = inner, stage, windows, methods
        self.missed: list[str] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._inner, name)

        async def call(*args: Any, **more: Any) -> Any:
            now = self._stage.clock.now()
            if name in self._methods and any(begin <= now < end for begin, end in self._windows):
                self.missed.append(name)
                if name in CALLS:
                    return Unknown("HTTP 503")
                raise ProviderUnavailable("HTTP 503")
            return await real(*args, **more)

        return call


def story(windows: list[tuple[float, float]], back: list[tuple[float, float]], methods: tuple[str, ...]) -> Any:
    """A run and its rollback under outages that begin so long after the start of each, and last so long."""

    async def play() -> None:
        up = servers("up", "a", "b", "c", timeout=60.0)
        stage = Stage(up, installs("svc", up, "redis", after=["up"]), runs("cmd", after=["up"]))
        for part, wishes, wanted in ((windows, None, RunState.COMPLETED), (back, undo, RunState.ROLLED_BACK)):
            now = stage.clock.now()
            shaky = Shaky(stage.providers["upcloud"], stage, [(now + a, now + a + b) for a, b in part], methods)
            inner, stage.providers["upcloud"] = stage.providers["upcloud"], shaky  # type: ignore[assignment]
            run = await stage.drive(wishes)
            stage.providers["upcloud"] = inner
            assert run.status is wanted, (run.reason, run.residue)
            if not set(methods) & set(CALLS):
                assert run.retries == 0, list(await stage.events(ev.StepRetrying))
                assert not await stage.events(ev.UndoRetrying)
        assert await stage.names() == {}

    return play()


MINUTES = st.lists(st.tuples(st.floats(0.0, 60.0), st.floats(0.0, 700.0)), max_size=1)


@settings(max_examples=share(60), deadline=None)
@given(MINUTES, MINUTES, st.sets(st.sampled_from(LOOKS), min_size=1))
def test_looks_that_fail_for_minutes_cost_no_attempt(
    windows: list[tuple[float, float]], back: list[tuple[float, float]], methods: set[str]
) -> None:
    """E3: any kinds of look, in the run and in its rollback, for as long as is waited for."""
    run_virtual(story(windows, back, tuple(methods)))


@settings(max_examples=share(40), deadline=None)
@given(MINUTES, MINUTES)
def test_a_cloud_that_answers_nothing_for_minutes_leaves_nothing_behind(
    windows: list[tuple[float, float]], back: list[tuple[float, float]]
) -> None:
    """E3: 503 to everything, the calls that change something too."""
    run_virtual(story(windows, back, (*LOOKS, *CALLS)))


@pytest.mark.parametrize("kind", LOOKS)
def test_each_kind_of_look_is_really_hit(kind: str) -> None:
    """E3: the property above is about something."""

    async def play() -> None:
        up = servers("up", "a")
        stage = Stage(up, installs("svc", up, "redis", after=["up"]))
        now = stage.clock.now()
        shaky = Shaky(stage.providers["upcloud"], stage, [(now, now + 300.0)], (kind,))
        stage.providers["upcloud"] = shaky  # type: ignore[assignment]
        run = await stage.drive()
        assert run.status is RunState.COMPLETED
        assert shaky.missed.count(kind) >= 5
        assert run.retries == 0

    run_virtual(play())


@given(st.lists(st.sampled_from([Unknown("503"), Throttled("slow", 20.0), Throttled("slow")]), min_size=1, max_size=80))
def test_pauses_between_failed_looks_grow_and_are_bounded(seen: list[Unknown]) -> None:
    """E3: whatever fails, the next look is never more than PAUSE_MAX away unless more was asked for."""
    outage, now = Outage(0.0), 0.0
    for one in seen:
        outage.failed(one, now, 1.0)
        pause = outage.again_at - now
        assert 1.0 <= pause <= max(PAUSE_MAX, 20.0)
        now = outage.again_at
    assert outage.over(now) is (now >= OUTAGE_SECONDS and len(seen) >= OUTAGE_LOOKS)
