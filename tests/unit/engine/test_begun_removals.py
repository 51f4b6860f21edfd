"""A removal that has begun and is throttled: waited for, and never told as one that changed nothing."""

from __future__ import annotations

from typing import Any

import pytest

from batchwright.engine.server_convergence import CALLS_SECONDS
from batchwright.model.call_outcome import Going
from batchwright.model.fault import FaultClass
from tests.unit.engine.bench import Bench, made, rolling_back, staged
from tests.unit.engine.hand import refusal
from tests.unit.engine.scripted import too_often


@pytest.mark.parametrize("answer", [too_often, lambda: refusal(FaultClass.THROTTLE)])
def test_what_is_throttled_once_it_has_begun_is_waited_for(answer: Any) -> None:
    """A throttle as the report would say that nothing was removed."""

    async def play(bench: Bench) -> None:
        made(bench)
        rolling_back(bench, "up/a")
        bench.provider.script.next["destroy"] = [Going, answer, answer]
        assert (await bench.undo()).fault is None

    bench = staged(play)
    assert not bench.world.servers()
    assert bench.provider.script.count("destroy") >= 4


@pytest.mark.parametrize("answer", [too_often, lambda: refusal(FaultClass.THROTTLE)])
def test_what_has_begun_and_is_never_done_is_not_told_as_turned_away(answer: Any) -> None:
    async def play(bench: Bench) -> None:
        made(bench)
        rolling_back(bench, "up/a")
        bench.provider.script.next["destroy"] = [Going]
        bench.provider.script.always["destroy"] = answer
        report = await bench.undo()
        assert report.fault is not None
        assert report.fault.kind is FaultClass.BUSY

    assert staged(play).took >= CALLS_SECONDS
