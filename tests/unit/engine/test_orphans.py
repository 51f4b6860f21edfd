"""What a sweep takes for an orphan: never what a server needs that the journal keeps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from batchwright.engine import effects, reports
from batchwright.engine.performer import Performer
from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.fault import FaultClass
from batchwright.model.lifecycle import RunState, StepState
from tests.unit.engine.bench import Bench, made, staged

KEPT = {"a": "eu-central-1/i-1", "b": "us-east-1/i-2"}  # step -> reference
LISTED = [
    Observed("eu-central-1/sg-1", ServerState.READY, "group", needed_by="eu-central-1/i-"),
    Observed("eu-west-1/sg-2", ServerState.READY, "group elsewhere", needed_by="eu-west-1/i-"),
    Observed("eu-central-1/vol-1", ServerState.READY, "disk of a", needed_by="token-a"),
    Observed("eu-central-1/vol-9", ServerState.READY, "disk of one that was replaced", needed_by="token-z"),
    Observed("key:1", ServerState.READY, "key", needed_by=""),
    Observed("eu-central-1/i-1", ServerState.READY, "a"),
    Observed("eu-central-1/i-9", ServerState.READY, "duplicate of a", token="token-a"),
]
ALWAYS = {"group elsewhere", "disk of one that was replaced", "duplicate of a"}


def orphans(status: RunState, state: StepState, *, own: bool = True) -> set[str]:
    records = [SimpleNamespace(ref=ref, state=state) for ref in KEPT.values()]
    steps = [SimpleNamespace(traits=SimpleNamespace(sweeps=own)) for _ in KEPT]
    lane, token = (lambda _: "aws"), (lambda i: f"token-{'ab'[i]}")
    run: Any = SimpleNamespace(status=status, records=records, steps=steps, lane=lane, token=token)
    return {name for _, name in Performer._orphans(SimpleNamespace(_run=run), "aws", LISTED)}  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [RunState.RUNNING, RunState.COMPLETED])
def test_what_kept_servers_need_is_no_orphan_however_late_they_are_listed(status: RunState) -> None:
    """E2: a group, a key and a disk are listed, and their servers not yet."""
    assert orphans(status, StepState.SUCCEEDED) == ALWAYS


def test_what_a_run_created_for_servers_of_its_own_is_not_kept_for_those_of_older_runs() -> None:
    """A run whose creates all failed, beside servers that it kept, left its key and its group behind for ever."""
    servers = {"a", "b"}
    assert orphans(RunState.RUNNING, StepState.SUCCEEDED, own=False) == {one.name for one in LISTED} - servers


def test_a_rollback_leaves_nothing_but_what_servers_need_that_could_not_be_removed() -> None:
    """E2."""
    assert orphans(RunState.ROLLING_BACK, StepState.UNDONE) == {one.name for one in LISTED}
    assert orphans(RunState.ROLLING_BACK, StepState.UNDO_FAILED) == ALWAYS


@pytest.mark.parametrize("token", ["", "of-another-step"])
def test_a_run_label_with_a_token_that_the_run_never_gave_is_somebody_elses(token: str) -> None:
    """E1: labels can be copied and edited by hand; such a server is named and left alone, in a sweep and in an undo."""

    async def play(bench: Bench) -> None:
        made(bench)
        bench.plant("copy").token = token
        (report,) = await bench.perform(effects.DestroyOrphan("upcloud", "copy"))
        assert isinstance(report, reports.OrphanReport)
        assert report.fault is not None
        assert report.fault.kind is FaultClass.CONFLICT
        assert "copy does not carry" in report.fault.message
        assert bench.world.server("copy").gone_at is None  # type: ignore[union-attr]

    staged(play)
