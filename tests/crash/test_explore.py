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
from batchwright.testing.crash_state_recorder import StateRecorder, restore, save
from batchwright.testing.virtual_clock import run_virtual
from tests.crash.lives import EndState, Lives, live_through
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


def undisturbed(scenario: Scenario, state: bytes = b"") -> StateRecorder:
    """A process that begins, or goes on from this state, with what it would leave if it died."""
    lives = Lives(scenario)
    recorder = StateRecorder(lives)
    start = restore(lives, state) if state else 0.0
    run_virtual(live_through(scenario, recorder, lives=lives), start)
    return recorder


def live_on(scenario: Scenario, state: bytes) -> EndState:
    """The end, from this state on."""
    lives = Lives(scenario)
    start = restore(lives, state)
    return run_virtual(live_through(scenario, lives=lives), start)[0]


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_end_is_the_same_wherever_the_process_dies(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    scenario = SCENARIOS[name]
    wanted, calls = reference(scenario)
    process = undisturbed(scenario)
    for state, deaths in process.states().items():
        check(scenario, wanted, live_on(scenario, state), ", ".join(deaths))
    assert len(process.left) == len(When) * calls
    with capsys.disabled():
        print(f"\n{name}: {len(process.left)} crash points, 0 duplicates, 0 orphans, always {scenario.ends}")


def test_what_a_process_leaves_that_dies_is_what_is_explored() -> None:
    scenario = SCENARIOS["replaced-servers"]
    left = undisturbed(scenario).left

    async def die(point: CrashPoint) -> bytes:
        lives = Lives(scenario)
        await lives.process(point)
        assert point.dead
        return save(lives)

    for (n, when), state in list(left.items())[::7]:
        assert run_virtual(die(CrashPoint(n, when))) == state, (n, when)


@pytest.mark.parametrize(("first", "every"), [(4, 3), pytest.param(12, 1, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "name", ["diamond-hostile", "rollback-hostile", "replaced-servers", "update-and-upgrade-hostile", "update-rollback"]
)
def test_a_crash_inside_the_recovery_changes_nothing(
    name: str, first: int, every: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """In every third state that the recovery passes through, in each one where it is long."""
    scenario = SCENARIOS[name]
    wanted, calls = reference(scenario)
    left, explored = undisturbed(scenario).left, 0
    for n in range(5, calls + 1, max(1, calls // first)):
        recovery = undisturbed(scenario, left[n, When.AFTER])
        for state, deaths in list(recovery.states().items())[::every]:
            check(scenario, wanted, live_on(scenario, state), f"after call {n}, then {', '.join(deaths)}")
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
