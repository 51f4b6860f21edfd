"""The failures of a run by their cause: the same refusal of many steps is one line."""

from __future__ import annotations

import re

from msgspec import Struct

from batchwright.model.lifecycle import StepState
from batchwright.model.run import Run
from batchwright.views.display_state import DisplayState, display_state
from batchwright.views.step_pages import server_names

STEPS_NAMED, OPERATIONS_NAMED = 20, 20
CAUSES_MOST = 200
# What differs between equal causes beside names: long numbers and digests, addresses, and how long something took.
_VARIES = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4,12})*|\b\d{5,}\b|\b\d+(?:\.\d+){3}(?::\d+)?\b|\b\d+(?:\.\d+)? ?(?:m?s|min|seconds)\b"
)


class FailureCause(Struct, frozen=True):
    """Steps that failed, or whose undo failed, for one cause. `message` is that of the first of them.

    `place` is the zone of their servers, "" if they have none. `first_at` and `last_at` are seconds since the epoch.
    """

    state: DisplayState
    kind: str
    code: str
    provider: str
    place: str
    message: str
    hint: str
    count: int
    first_at: float
    last_at: float
    operations: tuple[str, ...]
    operations_more: int
    steps: tuple[str, ...]
    steps_more: int


class FailureCauses(Struct, frozen=True):
    """The causes of a run's failures after event `seq`, those with the most steps first.

    `failed` counts their steps; `skipped` are steps that did not run because of something else.
    """

    run: str
    seq: int
    failed: int
    skipped: int
    items: tuple[FailureCause, ...]
    items_more: int


LOST_STATES = (StepState.FAILED, StepState.UNDO_FAILED)
_Key = tuple[DisplayState, str, str, str, str, str]


def failure_causes(run: Run, most: int = CAUSES_MOST) -> FailureCauses:
    """Group the failures of a run; at most `most` causes are listed."""
    servers: list[str] = []
    groups: dict[_Key, list[int]] = {}
    for i, record in enumerate(run.records):
        fault, step = record.fault, run.steps[i]
        if record.state not in LOST_STATES or fault is None:
            continue
        servers = servers or server_names(run.plan)
        key = (
            display_state(run, i),
            fault.kind.value,
            fault.code,
            step.provider,
            step.request.zone,
            _bare(run, i, servers[i]),
        )
        groups.setdefault(key, []).append(i)
    found = sorted(groups.items(), key=lambda one: (-len(one[1]), one[1][0]))
    return FailureCauses(
        run=run.id,
        seq=run.seq,
        failed=sum(map(len, groups.values())),
        skipped=run.count(StepState.SKIPPED),
        items=tuple(_cause(run, key, steps) for key, steps in found[:most]),
        items_more=max(0, len(found) - most),
    )


def _bare(run: Run, i: int, server: str) -> str:
    """A failure's message without what belongs only to this step."""
    record, step = run.records[i], run.steps[i]
    assert record.fault is not None
    text = record.fault.message
    for own in sorted({step.id, step.request.name, server, record.ref, record.stale, record.address}, key=len)[::-1]:
        if len(own) > 1 and own in text:
            text = re.sub(rf"(?<![\w-]){re.escape(own)}(?![\w-])", "*", text)
    return _VARIES.sub("*", text)


def _cause(run: Run, key: _Key, steps: list[int]) -> FailureCause:
    state, kind, code, provider, place, _ = key
    fault = run.records[steps[0]].fault
    assert fault is not None
    ends = [run.records[i].ended_at for i in steps]
    operations = list(dict.fromkeys(run.plan.steps[i].operation for i in steps))
    return FailureCause(
        state=state,
        kind=kind,
        code=code,
        provider=provider,
        place=place,
        message=fault.message,
        hint=fault.hint,
        count=len(steps),
        first_at=min(ends),
        last_at=max(ends),
        operations=tuple(operations[:OPERATIONS_NAMED]),
        operations_more=max(0, len(operations) - OPERATIONS_NAMED),
        steps=tuple(run.plan.steps[i].id for i in steps[:STEPS_NAMED]),
        steps_more=max(0, len(steps) - STEPS_NAMED),
    )
