"""A small plan through crashes and faults: nothing is wrong with it, and bugs that are planted are found."""

from __future__ import annotations

from functools import cache

import pytest

from batchwright.rehearsal.experiment_run import ExperimentOutcome, ReferenceRun, carry_out
from batchwright.rehearsal.exploration import ExplorationOptions, explore, references_of, without_warnings
from batchwright.rehearsal.fault_menu import CRASH, FAULTS
from batchwright.rehearsal.fault_spec import AFTER, BEFORE, Experiment
from batchwright.rehearsal.planted_bugs import BUGS, self_check
from batchwright.rehearsal.tally import Tally
from tests.unit.rehearsal.plans import handled, small

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
