"""A small plan through crashes and faults: nothing is wrong with it, and bugs that are planted are found."""

from __future__ import annotations

from functools import cache

import pytest

from batchwright.errors import EnvironmentBusy, EnvironmentRefused
from batchwright.journal.replay import load_run
from batchwright.model.lifecycle import RunState
from batchwright.operations.check import CheckRequest, HttpCheck, TcpCheck
from batchwright.rehearsal.crash_restart_run import ProcessJournal, SimulatedRun
from batchwright.rehearsal.experiment_run import ExperimentOutcome, ReferenceRun, carry_out
from batchwright.rehearsal.experiments import single_faults
from batchwright.rehearsal.exploration import ExplorationOptions, explore, references_of, without_warnings
from batchwright.rehearsal.fault_injected_run import RehearsedRun
from batchwright.rehearsal.fault_menu import CRASH, FAULTS
from batchwright.rehearsal.fault_spec import AFTER, BEFORE, Experiment
from batchwright.rehearsal.planted_bugs import BUGS, self_check
from batchwright.rehearsal.port_interceptor import InjectionPoint
from batchwright.rehearsal.scenario import Scenario
from batchwright.rehearsal.tally import Tally
from batchwright.testing.crash_points import CrashPoint
from batchwright.testing.virtual_clock import run_virtual
from tests.crash.scenarios import check, plan, servers
from tests.unit.rehearsal.plans import SETTINGS, handled, rehearsed, small

REHEARSED = small()
WORDS = FAULTS - {CRASH} | {AFTER, BEFORE}


@cache
def references() -> dict[bool, ReferenceRun]:
    found, results = references_of(REHEARSED)
    assert [one.outcome for one in results] == [ExperimentOutcome.SAME, ExperimentOutcome.SAME]
    return found


def outcome(text: str) -> ExperimentOutcome:
    experiment = Experiment.parse(text, WORDS)
    with without_warnings():
        result = carry_out(REHEARSED, references()[experiment.rollback], experiment)
    assert result.fired == experiment.injections
    assert result.broken == ()
    return result.outcome


def test_the_calls_of_a_rollback_begin_with_it() -> None:
    """Those before it are in the rehearsal of the run itself, and would count twice."""
    first, *rest = references()[True].calls
    assert "RollbackStarted" in first.alike
    assert not [call.alike for call in rest if call.alike.startswith("forward/")]
    assert [call.alike for call in references()[False].calls if call.alike.startswith("forward/")]


@pytest.mark.parametrize(
    ("at", "ends"),
    [
        ("up/a create:after", ExperimentOutcome.SAME),
        ("up/a create:late_commits", ExperimentOutcome.SAME),
        ("up/a create:never_ready", ExperimentOutcome.SAME),
        ("up/b create:capacity", ExperimentOutcome.HELP),
        ("svc/a/redis install:second_driver", ExperimentOutcome.SAME),
        ("svc/a/redis install:vanishes", ExperimentOutcome.STUCK),
        ("migrate/run run:timeout", ExperimentOutcome.HELP),
        ("upcloud find:list_lag", ExperimentOutcome.SAME),
        ("up/a record StepCreated:full_disk", ExperimentOutcome.SAME),
        ("up/a record StepCreated:second_change", ExperimentOutcome.SAME),
        ("rollback: svc/a/redis remove:exit", ExperimentOutcome.HELP),
    ],
)
def test_each_fault_ends_as_it_should(at: str, ends: ExperimentOutcome) -> None:
    assert outcome(at) is ends


def test_an_exploration_tries_every_kind_and_finds_only_what_people_must_do() -> None:
    tally = Tally(REHEARSED)
    options = ExplorationOptions(frozenset({"crash", "lost_answers"}), seconds=600.0)
    explored = explore(REHEARSED, references(), options, tally.hear)
    assert (explored.kinds_done, explored.nested_done) == (explored.kinds, explored.nested)
    assert explored.kinds > 25
    assert 0 < explored.same < explored.points
    assert {cause.kind for cause in tally.causes} == {"doubt"}
    assert {cause.operation for cause in tally.causes} == {"migrate"}
    assert tally.outcomes[ExperimentOutcome.BROKEN] == tally.outcomes[ExperimentOutcome.STUCK] == 0


@pytest.mark.parametrize("seed", range(len(BUGS)))
def test_a_bug_that_is_planted_is_found(seed: int) -> None:
    checked = self_check(REHEARSED, references(), seed)
    assert checked.bug is BUGS[seed]
    assert checked.runs > 0


@pytest.mark.parametrize(("semantics", "ends"), [(3, ExperimentOutcome.BROKEN), (4, ExperimentOutcome.HELP)])
def test_a_failure_is_handled_only_once_it_is_known(semantics: int, ends: ExperimentOutcome) -> None:
    """The command ran to its end and the process died: earlier versions handled a failure that there was not."""
    made = handled(semantics)
    known, _ = references_of(made)
    result = carry_out(made, known[False], Experiment.parse("migrate/run run:after", WORDS))
    assert result.outcome is ends
    assert [one.about for one in result.broken] == ["restore/run"] * (ends is ExperimentOutcome.BROKEN)
    failed = carry_out(made, known[False], Experiment.parse("migrate/run run:exit", WORDS))
    assert (failed.outcome, failed.broken) == (ExperimentOutcome.HELP, ())
    assert b'"restore/run":{"runs":1' in failed.end  # this one is known


def test_a_check_over_http_meets_what_its_request_can_see() -> None:
    up = servers("up", "upcloud", "a", timeout=600.0)
    page = CheckRequest("page", HttpCheck("http://a/", contains="welcome"), every=5.0)
    port = CheckRequest("port", tcp=TcpCheck("a", 80), every=5.0)
    looked_at = rehearsed(plan(SETTINGS, up, check("page", page, after=("up",)), check("port", port, after=("up",))))
    known, _ = references_of(looked_at)
    listed = single_faults(looked_at, known[False], None, frozenset({"wrong_status", "wrong_body"}), 1)
    assert {str(one) for one in listed.first} == {"page/check probe:wrong_status", "page/check probe:wrong_body"}
    for one in listed.first:
        result = carry_out(looked_at, known[False], one)
        assert (result.outcome, result.fired) == (ExperimentOutcome.HELP, one.injections)


def test_another_file_changes_the_environment_before_or_after_a_run_and_never_during_it() -> None:
    """Also while the process is dead: then the run still has its turn, and only resuming or undoing it ends that."""
    first = RehearsedRun(REHEARSED, Experiment.parse("up/a create:after", WORDS), 10_000)
    other = plan(SETTINGS, servers("more", "upcloud", "c", timeout=600.0))
    second = SimulatedRun(Scenario("other", other, SETTINGS), "other", first.world)
    second.journal = first.journal

    async def main() -> tuple[RunState, RunState]:
        assert not await first.process(InjectionPoint(first, first.experiment.injections))
        with pytest.raises(EnvironmentBusy):
            await second.process(CrashPoint())
        assert await first.process(InjectionPoint(first, ()))
        assert await second.process(CrashPoint())
        runs = [await load_run(first.journal, name) for name in ("run", "other")]
        assert {server.name for server in first.world.servers()} >= {"a", "b", "c"}
        last = InjectionPoint(first, ())
        with pytest.raises(EnvironmentRefused):  # the newer run has superseded it
            await first.drive(
                ProcessJournal(first.journal, last, 3), last, lambda machine, now: machine.rollback(now, "u")
            )
        return runs[0].status, runs[1].status

    assert run_virtual(main()) == (RunState.COMPLETED, RunState.COMPLETED)
