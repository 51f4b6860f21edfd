"""Everything at a place: drivers die on their side of a call, workers on theirs, and the world ends the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from batchwright.commands.base import Launcher
from batchwright.engine.loop import Driver
from batchwright.journal.base import Lease
from batchwright.model.scalar import Scalar
from batchwright.places.call_answerer import CallAnswerer
from batchwright.places.carrier import START_SECONDS, PlaceCall
from batchwright.places.codec import PROVIDER_CALLS
from batchwright.places.place_link import PlaceLink
from batchwright.places.place_provider import PlaceProvider, at_distance
from batchwright.places.place_runner import PlaceLauncher, PlaceRunner
from batchwright.providers.base import Provider
from batchwright.providers.simulated import Simulation
from batchwright.rehearsal.invariants import broken_invariants
from batchwright.taskservs.base import Runner
from batchwright.testing.crash_points import CrashPoint, When
from batchwright.testing.virtual_clock import run_virtual
from tests.crash.lives import EndState, Lives, live_through
from tests.crash.scenarios import Scenario, all_scenarios
from tests.support.place_carrier import MemoryCarrier, Ports

NAMES = ("diamond-hostile", "rollback-hostile", "replaced-servers", "update-rollback", "commands-rollback")
SCENARIOS = {scenario.name: scenario for scenario in all_scenarios() if scenario.name in NAMES}
CHANGES = {"create", "change", "destroy", "install", "remove", "launch"}


class DyingCarrier(MemoryCarrier):
    """Counts its calls as those of a port. One after which its process dies takes effect as late as it can."""

    point = CrashPoint()

    async def carry(
        self, place: str, call: str, message: bytes, limit: float, live: Callable[[bytes], None] | None = None
    ) -> bytes:
        point = self.point
        point.check()
        point.calls.append(f"carry {call}")
        if point.count == point.n:
            if point.when is When.AFTER:
                self.start(place, call, message, START_SECONDS + limit - 1.0)
            point.die()
        answer = await super().carry(place, call, message, limit)
        point.check()
        return answer


class PlacedLives(Lives):
    """A run all of whose ports are at a place, where one worker outlives the processes that drive it."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.ports = Ports(launcher=self.ledger)
        self.carrier = DyingCarrier({"far": CallAnswerer(self.ports)})

    def provider(self, name: str, simulation: Simulation) -> Provider:
        there = self.ports.providers.setdefault(name, super().provider(name, simulation))
        here = PlaceProvider(name, PlaceLink("far", self.carrier))
        here.capabilities = at_distance(there.capabilities, "far")  # as `open` finds it
        return here

    def runner(self, simulation: Simulation) -> Runner:
        self.ports.runners[simulation] = super().runner(simulation)
        return PlaceRunner("upcloud", PlaceLink("far", self.carrier))

    def launcher(self) -> Launcher:
        return PlaceLauncher("", PlaceLink("far", self.carrier))

    async def driver(self, journal: Any, point: CrashPoint, lease: Lease) -> Driver:
        self.carrier.point = point
        return await super().driver(journal, point, lease)


def placed(scenario: Scenario) -> Scenario:
    """The scenario, with what its providers promise at a place."""
    facts = []
    for one in scenario.plan.providers:
        known = Lives(scenario).provider(one.name, Simulation.from_settings(scenario.settings, one.name)).capabilities
        facts.append(at_distance(known, "far").facts(one.name, one.account))
    return replace(scenario, plan=replace(scenario.plan, providers=tuple(facts)))


def lived(
    scenario: Scenario, *points: CrashPoint, lose: Callable[[PlaceCall], str] | None = None
) -> tuple[EndState, PlacedLives]:
    """The end, after deaths at these points."""

    async def main() -> tuple[EndState, PlacedLives]:
        lives = PlacedLives(scenario)
        if lose is not None:
            lives.carrier.lose = lose
        return (await live_through(scenario, *points, lives=lives))[0], lives

    return run_virtual(main())


def sample(found: Sequence[int], count: int) -> Sequence[int]:
    """About so many of them, spread evenly; 0: all."""
    return found[:: max(1, len(found) // count)] if count else found


@pytest.mark.parametrize("count", [3, pytest.param(0, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", NAMES)
def test_a_driver_dies_on_either_side_of_a_call_to_a_place(name: str, count: int) -> None:
    scenario = placed(SCENARIOS[name])
    point = CrashPoint()
    wanted, _ = lived(scenario, point)
    assert broken_invariants(scenario, wanted, wanted) == []
    carried = [n for n, label in enumerate(point.calls, 1) if label.startswith("carry")]
    assert len(carried) > 20
    for n in sample(carried, count):
        for when in When:
            end, _ = lived(scenario, dead := CrashPoint(n, when))
            assert dead.dead
            assert broken_invariants(scenario, wanted, end) == [], str(dead)


@pytest.mark.parametrize("count", [3, pytest.param(0, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", NAMES)
def test_a_worker_dies_before_its_call_in_it_or_before_its_answer(name: str, count: int) -> None:
    """Its caller does not know which: the call is in doubt, and is settled by looking."""
    scenario = placed(SCENARIOS[name])
    wanted, lives = lived(scenario)
    changes = sum(call.method in CHANGES for _, call in lives.carrier.sent)
    assert changes >= 5
    for n in sample(range(1, changes + 1), count):
        for when in ("before", "during", "after"):
            seen = 0

            def lose(call: PlaceCall, n: int = n, when: str = when) -> str:
                nonlocal seen
                seen += call.method in CHANGES
                return when if call.method in CHANGES and seen == n else ""

            end, lives = lived(scenario, lose=lose)
            assert seen >= n
            assert broken_invariants(scenario, wanted, end) == [], f"{when} change {n}"


def test_a_create_that_takes_effect_late_after_its_caller_died_is_no_orphan() -> None:
    """It waits at the place and takes all its time there; the rollback looks for it for longer than that."""
    template = next(one for one in all_scenarios() if one.name == "rollback")
    settings: dict[str, Scalar] = {**template.settings, "guard": "label_only", "list_lag": 1}
    scenario = placed(replace(template, settings=settings, cancel_after=3.0, races=True))
    point = CrashPoint()
    wanted, _ = lived(scenario, point)
    creates = [n for n, label in enumerate(point.calls, 1) if label.startswith("carry") and "/create/" in label]
    assert creates
    for n in creates[:2]:
        end, _ = lived(scenario, CrashPoint(n, When.AFTER))
        assert broken_invariants(scenario, wanted, end) == [], n


def test_every_look_is_a_call_of_its_own_and_a_change_is_named_by_its_step() -> None:
    _, lives = lived(placed(SCENARIOS["diamond-hostile"]))
    looks = [name for name, call in lives.carrier.sent if PROVIDER_CALLS.get(call.method) == "look"]
    assert len(set(looks)) == len(looks) > 5
    creates = [name for name, call in lives.carrier.sent if call.method == "create"]
    assert all(name.startswith("run/") for name in creates)
