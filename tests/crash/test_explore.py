"""Crash exploration: die just before and just after every call of every port, restart, and end with the same world."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from batchwright.model.templates import filled
from batchwright.operations.command import CommandRequest
from batchwright.operations.server_batch import ServerRequest
from batchwright.rehearsal.invariants import broken_invariants
from batchwright.testing.crash_points import CrashPoint, When
from batchwright.testing.virtual_clock import run_virtual
from tests.crash.lives import EndState, live_through
from tests.crash.scenarios import Scenario, all_scenarios

SCENARIOS = {scenario.name: scenario for scenario in all_scenarios()}


def reference(scenario: Scenario) -> tuple[EndState, int]:
    """The undisturbed end, and how many calls of ports there are on the way."""
    point = CrashPoint()
    outcome, processes = run_virtual(live_through(scenario, point))
    assert processes == 1
    check(scenario, outcome, outcome, "undisturbed")
    for step in scenario.plan.steps:
        if isinstance(step.request, CommandRequest):
            assert outcome.ran[step.id] == 1 if not step.request.idempotent else outcome.ran[step.id] >= 1, step.id
            assert bool(outcome.undone[step.id]) is scenario.rollback, step.id
    return outcome, point.count


def check(scenario: Scenario, wanted: EndState, outcome: EndState, where: str) -> None:
    """No duplicate, no orphan, the same status and the same world as without the crash."""
    assert broken_invariants(scenario, wanted, outcome) == [], where
    check_values(scenario, outcome, where)


def check_values(scenario: Scenario, outcome: EndState, where: str) -> None:
    """I10: each start and undo had the values that were journaled, and these are right."""
    for operation, values in outcome.values.items():
        assert values["outputs.give.url"] == outcome.outputs["give"]["url"], where
        assert values["operations.up.addresses"] == outcome.addresses[:2], where
        for step in scenario.plan.steps:
            if step.operation == operation and isinstance(step.request, CommandRequest):
                words = {tuple(filled(word, values) for word in step.request.run[1:])}
                assert outcome.words[step.id] == words, f"{where}: {step.id}"
            elif step.operation == operation and step.request.name in outcome.first_boot:
                assert isinstance(step.request, ServerRequest)
                assert outcome.first_boot[step.request.name] == filled(step.request.user_data, values), where


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_end_is_the_same_wherever_the_process_dies(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    scenario = SCENARIOS[name]
    wanted, calls = reference(scenario)
    explored = 0
    for when in When:
        for n in range(1, calls + 1):
            point = CrashPoint(n, when)
            outcome, processes = run_virtual(live_through(scenario, point))
            assert processes > 1 or point.n == calls, point
            check(scenario, wanted, outcome, str(point))
            explored += 1
    with capsys.disabled():
        print(f"\n{name}: {explored} crash points, 0 duplicates, 0 orphans, always {scenario.ends}")


@pytest.mark.parametrize("first", [4, pytest.param(12, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "name", ["diamond-hostile", "rollback-hostile", "replaced-servers", "update-and-upgrade-hostile", "update-rollback"]
)
def test_a_crash_inside_the_recovery_changes_nothing(name: str, first: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Every other call of the recovery, after a crash at so many calls on the way."""
    scenario = SCENARIOS[name]
    wanted, calls = reference(scenario)
    explored = 0
    for n in range(5, calls + 1, max(1, calls // first)):
        for m in range(1, 60, 2):
            points = CrashPoint(n, When.AFTER), CrashPoint(m, When.AFTER if m % 4 == 1 else When.BEFORE)
            outcome, _ = run_virtual(live_through(scenario, *points))
            check(scenario, wanted, outcome, " then ".join(map(str, points)))
            explored += 1
    with capsys.disabled():
        print(f"\n{name}: {explored} crashes inside the recovery, 0 duplicates, 0 orphans")


def wander(seed: int) -> str:
    """One random exploration: a scenario of which the seed decides the faults, killed up to four times."""
    chance = random.Random(seed)
    template = chance.choice(list(SCENARIOS.values()))
    settings = {**template.settings, "seed": seed, "spread": chance.choice([0, 0.3, 1.0])}
    scenario = replace(template, name=f"{template.name}-{seed}", settings=settings)
    points = [CrashPoint(chance.randint(1, 80), chance.choice(list(When))) for _ in range(chance.randint(1, 4))]
    outcome, _ = run_virtual(live_through(scenario, *points))
    where = f"seed {seed}: {template.name}, {', '.join(map(str, points))}"
    assert not outcome.duplicates, where
    assert not outcome.orphans, where
    assert outcome.environment == [], where
    return where


def test_random_explorations_leave_no_duplicate_and_no_orphan() -> None:
    for seed in range(150):
        wander(seed)


@pytest.mark.long
def test_long_random_explorations() -> None:
    first = random.SystemRandom().randrange(10**9)
    print(f"seeds {first} to {first + 4999}")
    for seed in range(first, first + 5000):
        wander(seed)
