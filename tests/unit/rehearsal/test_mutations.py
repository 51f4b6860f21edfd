"""Each bug that is planted in the engine or an adapter is found, and the unchanged engine has none."""

from __future__ import annotations

import pytest

from batchwright.rehearsal.experiment_run import carry_out
from batchwright.rehearsal.experiments import single_faults
from batchwright.rehearsal.exploration import references_of, without_warnings
from batchwright.rehearsal.fault_spec import Experiment
from batchwright.rehearsal.rehearsed import Rehearsed
from batchwright.rehearsal.report import level_of
from batchwright.rehearsal.tally import Cause, Tally
from tests.unit.rehearsal.mutations import MUTATIONS, Mutation
from tests.unit.rehearsal.plans import small

RUNS_MOST = 400


def found(rehearsed: Rehearsed, mutation: Mutation, patch: pytest.MonkeyPatch) -> set[Cause]:
    """The first errors and warnings with the bug, in an exploration of the most telling experiments."""
    references, _ = references_of(rehearsed)
    listed = single_faults(rehearsed, references[False], references[True], frozenset(mutation.faults), 1)
    faults = listed.first if mutation.faults else ()
    mutation.apply(patch)
    tally = Tally(rehearsed)
    with without_warnings():
        for experiment in (Experiment(), Experiment((), True), *faults[:RUNS_MOST]):
            tally.hear(carry_out(rehearsed, references[experiment.rollback], experiment))
            causes = {cause for cause in tally.causes if level_of(cause) != "note"} - EXPECTED
            if causes:
                return causes
    return set()


EXPECTED = {Cause("doubt", "migrate", "")}  # its command is not idempotent


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.name)
def test_a_planted_bug_is_found(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(mutation.rehearsed(), mutation, monkeypatch)


@pytest.mark.long
def test_nothing_is_found_where_nothing_is_planted(monkeypatch: pytest.MonkeyPatch) -> None:
    every = tuple(sorted({fault for one in MUTATIONS for fault in one.faults}))
    assert found(small(), Mutation("none", lambda _: None, every), monkeypatch) == set()


def test_there_are_enough_of_them() -> None:
    assert len({one.name for one in MUTATIONS}) >= 20
