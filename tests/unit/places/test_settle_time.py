"""How long a create in doubt is looked for at a place, also by runs that were planned before there was one."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec.structs import replace

from batchwright.engine.handler_context import HandlerContext
from batchwright.engine.limits import Limits
from batchwright.model import events as ev
from batchwright.model.plan import Guard
from batchwright.model.run import Run
from batchwright.places.place_provider import END_SECONDS, at_distance
from batchwright.providers.base import Capabilities
from batchwright.testing.virtual_clock import VirtualClock
from tests.unit.engine.stage import plan_of, servers

THERE = Capabilities(Guard.LABEL_ONLY, settle_seconds=30.0, call_timeout=20.0)


class Far:
    """A provider as a place promises it."""

    name = "upcloud"
    capabilities = at_distance(THERE, "madrid")


def test_a_call_that_waited_and_took_its_time_is_over_before_its_server_counts_as_not_made() -> None:
    far = at_distance(THERE, "madrid")
    assert (far.call_timeout, far.settle_seconds, far.at) == (30.0, 60.0, "madrid")
    assert far.facts("upcloud", "a").visible_seconds == THERE.facts("upcloud", "a").visible_seconds == 30.0
    assert at_distance(replace(THERE, visible_seconds=2.0), "madrid").visible_seconds == 2.0


def test_a_run_that_was_planned_without_the_place_waits_as_long() -> None:
    plan = plan_of({"guard": "label_only"}, servers("up", "a"))
    (before,) = plan.providers
    ports: Any = {"upcloud": Far()}

    async def main() -> None:
        run, clock = Run(ev.RunCreated(0.0, "run", plan)), VirtualClock()
        context = HandlerContext(run, ports, {}, {}, Limits(), clock, print, print, _hold)  # type: ignore[arg-type]
        assert context.facts["upcloud"] == replace(before, settle_seconds=60.0)

    asyncio.run(main())


def test_a_create_whose_end_was_seen_waits_for_the_cloud_alone_and_one_whose_caller_died_for_all_of_its_time() -> None:
    plan = plan_of({"guard": "label_only"}, servers("up", "a"))
    ports: Any = {"upcloud": Far()}
    run = Run(ev.RunCreated(1_000.0, "run", plan))
    context = HandlerContext(run, ports, {}, {}, Limits(), VirtualClock(), print, print, _hold)  # type: ignore[arg-type]
    assert context.settled_at("upcloud", 1_000.0, ended=False) == 1_060.0
    assert context.settled_at("upcloud", 1_000.0, ended=True) == 1_000.0 + THERE.settle_seconds + END_SECONDS


async def _hold() -> None:
    """Nothing."""
