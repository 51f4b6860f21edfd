"""Which events of a run explain one step: its own, those of the whole run, and of other steps only what let it begin or
kept it from it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from batchwright.model.lifecycle import STEP_ENDED
from batchwright.model.workflow import DependencyKind
from batchwright.views.display_state import OF_FOLD, DisplayState
from batchwright.views.run_history import RunHistory

CAUSES_MAX = 50  # how many skipped operations are followed back
_ENDED = frozenset(OF_FOLD[state] for state in STEP_ENDED)
_NOT_BEGUN = (DisplayState.WAITING, DisplayState.NEVER_BEGAN)


def step_event_numbers(history: RunHistory, i: int, upto: int) -> list[int]:
    """The numbers of these events until `upto`, in order. The history itself has those of the whole run."""
    own = [seq for seq in history.step_events[i] if seq <= upto]
    found = {*own, *(seq for seq in history.opened(history.run.step_operation[i]) if seq <= upto)}
    before = DisplayState.WAITING
    for seq, _, state in history.changes[i]:
        if seq > upto:
            break
        if state is DisplayState.STARTED and before in _NOT_BEGUN:
            found.update(_let_begin(history, i, seq))
        elif seq in history.skips:
            found.update(_causes(history, i, seq))
        before = state
    return sorted(found)


def _let_begin(history: RunHistory, i: int, seq: int) -> Iterator[int]:
    """The last end of each operation and step that a step waited for, when it started with this event."""
    run = history.run
    for dependency in run.plan.operations[run.step_operation[i]].dependencies:
        steps = run.operation_steps[run.operation_index[dependency.id]]
        yield from _newest(end for one in steps for end in _ends(history, one, seq))
    for need in run.plan.steps[i].needs:
        yield from _newest(_ends(history, run.index[need.step], seq))


def _causes(history: RunHistory, i: int, seq: int) -> Iterator[int]:
    """What led to the skip with this event, followed back from step to step."""
    run, at = history.run, seq
    for _ in range(CAUSES_MAX):
        because = history.skips[at]
        needed = run.plan.operations[run.step_operation[i]].dependencies
        if because in run.index:
            found = [(end, run.index[because]) for end in _newest(_ends(history, run.index[because], seq))]
        elif any(edge.id == because and edge.kind is DependencyKind.HARD for edge in needed):
            found = _first_bad(history, because, seq)
        else:
            return  # a lane was stopped, which is an event of the whole run
        if not found or found[0][0] == at:
            return
        at, i = found[0]
        yield at
        if at not in history.skips:
            return


def _first_bad(history: RunHistory, operation: str, seq: int) -> list[tuple[int, int]]:
    """The first failure of an operation, else its first skip, since the run was last reopened before this event."""
    run = history.run
    since = max((one for one in history.reopened if one < seq), default=0)
    ends = [
        (end, one)
        for one in run.operation_steps[run.operation_index[operation]]
        for end in _ends(history, one, seq, (DisplayState.FAILED, DisplayState.SKIPPED))
        if end > since
    ]
    failures = [pair for pair in ends if pair[0] not in history.skips]
    return [min(failures or ends)] if ends else []


def _ends(history: RunHistory, i: int, seq: int, states: Iterable[DisplayState] = _ENDED) -> Iterator[int]:
    """The events before this one with which a step ended: none of the whole run, nor of a gate that only lets by."""
    own = history.step_events[i]
    for known, _, state in history.changes[i]:
        if known >= seq:
            return
        if state in states and known in own and known not in history.passed:
            yield known


def _newest(numbers: Iterable[int]) -> list[int]:
    found = max(numbers, default=0)
    return [found] if found else []
