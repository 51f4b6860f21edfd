"""Which runs stay: what is needed, the newest, the young. Whatever else may go."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from batchwright.model.environment import Resource
from batchwright.model.lifecycle import RUN_ENDED, RunState
from batchwright.model.retention import KeptBecause, NeededRun, Retention, kept_runs, needed_by_resources
from batchwright.model.run_summary import RunSummary
from batchwright.testing.journal_suite import NOW, summary_of
from tests.support.examples import share


def ended(run: str, turn: int, **rest: object) -> RunSummary:
    at = NOW + turn
    return replace(summary_of(run, at, status=RunState.COMPLETED, turn=turn, ended_at=at, updated_at=at), **rest)


ROWS = [ended(f"run{turn}", turn) for turn in range(1, 7)]


@pytest.mark.parametrize(
    ("wanted", "going"),
    [
        (Retention(), {"run1", "run2", "run3", "run4", "run5", "run6"}),
        (Retention(keep=2), {"run1", "run2", "run3", "run4"}),
        (Retention(seconds=3.5), {"run1", "run2"}),
        (Retention(keep=5, seconds=3.5), {"run1"}),
        (Retention(keep=6), set()),
    ],
)
def test_only_what_neither_number_nor_age_keeps_goes(wanted: Retention, going: set[str]) -> None:
    kept = kept_runs(ROWS, 6, {}, wanted, NOW + 6)
    assert {row.run for row in ROWS} - set(kept) == going


def test_what_is_not_over_stays() -> None:
    rows = [
        ended("live", 1, status=RunState.RUNNING),
        ended("due", 2, status=RunState.FAILED, rollback_due=True),
        ended("turn", 3),
        ended("old", 0),
    ]
    kept = kept_runs(rows, 2, {}, Retention(), NOW + 999)
    assert {run: one.why for run, one in kept.items()} == {
        "live": KeptBecause.NOT_ENDED,
        "due": KeptBecause.NOT_ENDED,
        "turn": KeptBecause.IN_TURN,
    }


def test_a_run_stays_as_long_as_something_of_it_exists() -> None:
    """Its labels are on the server, its key lets in, and what it asked for last is compared with what is there."""
    web = Resource("server", "web", ref="r1", run="maker", made_by="maker", changed_by="changer")
    resources = [
        web,
        Resource("taskserv", "nginx", "web", made_by="installer", changed_by="maker"),
        replace(web, name="x", run="", made_by="", leftover=("r0",), changed_by="leaver"),
        replace(web, name="y", run="", made_by="", residue="it would not go", changed_by="undoer"),
        replace(web, name="z", run="", made_by="", doubtful=True, changed_by="doubter"),
        Resource("server", "borrowed", ref="r9", borrowed=True, changed_by="borrower"),
    ]
    needed = needed_by_resources(resources)
    assert {run: one.names for run, one in needed.items()} == {
        "maker": ("web", "web/nginx"),
        "changer": ("web",),
        "installer": ("web/nginx",),
        "leaver": ("x",),
        "undoer": ("y",),
        "doubter": ("z",),
        "borrower": ("borrowed",),
    }
    kept = kept_runs([ended("changer", 1), ended("another", 2)], 2, needed, Retention(), NOW + 999)
    assert kept == {"changer": NeededRun(KeptBecause.RESOURCE, ("web",))}


@settings(max_examples=share(200), deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_run_goes_that_one_of_the_rules_keeps(seed: int) -> None:
    draw = random.Random(seed)
    rows = [
        ended(f"run{n}", draw.randint(0, 5), status=draw.choice(list(RunState)), created_at=NOW + draw.randint(0, 9))
        for n in range(draw.randint(0, 8))
    ]
    needed = {row.run: NeededRun(KeptBecause.RESOURCE) for row in rows if draw.random() < 0.2}
    wanted, through, now = Retention(draw.randint(0, 4), draw.choice([0.0, 2.0])), draw.randint(0, 5), NOW + 5
    kept = kept_runs(rows, through, needed, wanted, now)
    newest = sorted(rows, key=lambda row: (-row.created_at, row.run))[: wanted.keep]
    for row in rows:
        free = row.status in RUN_ENDED and row.turn <= through and row.run not in needed
        old = row not in newest and now - row.updated_at >= wanted.seconds
        assert (row.run not in kept) == (free and old)
