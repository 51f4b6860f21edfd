"""A run's fold as bytes, so that reopening it does not replay the whole journal."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from batchwright.model import events as ev
from batchwright.model.fault import Fault
from batchwright.model.lifecycle import RunState
from batchwright.model.run import FOLD, Run
from batchwright.model.run_fold_state import HoldFoldState, StepFoldState
from batchwright.model.templates import Value


class RunSnapshot(Struct, frozen=True):
    """A Run as a value, without its plan."""

    fold: int
    seq: int
    header: dict[str, Any]
    records: list[StepFoldState]


class _SnapshotFold(Struct, frozen=True):
    """As much of a snapshot as every version can read."""

    fold: int = 0


_HEADER = (
    *(
        "status",
        "turn",
        "created_at",
        "started_at",
        "ended_at",
        "updated_at",
        "reason",
        "driver",
        "driven_at",
        "restarts",
        "residue",
    ),
    *(
        "cancelling",
        "stopping",
        "rollback_after_stop",
        "rolled_back_by",
        "rolled_back_automatically",
        "stopped_lanes",
        "swept",
        "sweeps",
        "sweep_faults",
    ),
    *("strays_found", "doubtful", "retries", "throttles", "provider_retries", "provider_throttles", "sent_lanes"),
    *("failed_operations", "holds", "heard", "continued_by", "clock_ahead"),
    *("values", "opened"),
)


def encode_snapshot(run: Run) -> bytes:
    """The run's fold, for `restore_run`."""
    header = {name: getattr(run, name) for name in _HEADER}
    return msgspec.json.encode(RunSnapshot(FOLD, run.seq, header, run.records), order="deterministic")


def restore_run(created: ev.RunCreated, body: bytes) -> Run:
    """The fold from the bytes of `encode_snapshot` and the journal's first event.

    If another version wrote the snapshot, or it is damaged, the fold has only that event; the rest comes from the
    journal.
    """
    try:
        if msgspec.json.decode(body, type=_SnapshotFold).fold != FOLD:
            return Run(created)
        snapshot = msgspec.json.decode(body, type=RunSnapshot)
    except msgspec.MsgspecError:
        return Run(created)
    run = Run(created)
    run.seq = snapshot.seq
    run.records = snapshot.records
    for name in _HEADER:
        setattr(run, name, snapshot.header[name])
    run.status = RunState(run.status)
    run.swept = set(run.swept)
    run.opened = set(run.opened)
    run.values = msgspec.convert(run.values, dict[str, dict[str, Value]])
    run.residue = tuple(run.residue)
    run.stopped_lanes = msgspec.convert(run.stopped_lanes, dict[str, Fault])
    run.sweep_faults = msgspec.convert(run.sweep_faults, dict[str, Fault])
    run.holds = msgspec.convert(run.holds, dict[str, HoldFoldState])
    run.derive()
    return run
