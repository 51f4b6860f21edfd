"""What `store prune` and `store import` did or would do, and the sentences about it."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from batchwright.model.lifecycle import RunState
from batchwright.model.retention import KeptBecause
from batchwright.views.text_format import counted, some

WHY = {
    KeptBecause.NOT_ENDED: "has not ended",
    KeptBecause.IN_TURN: "is in its turn",
    KeptBecause.UNSETTLED: "left a call of unknown outcome",
    KeptBecause.NEWEST_CHANGE: "changed the environment last",
    KeptBecause.NEWEST_TURN: "had the newest turn",
    KeptBecause.RESOURCE: "made or changed something that exists",
    KeptBecause.WEBHOOK: "is still being sent to a webhook",
    KeptBecause.COUNT: "is among the newest",
    KeptBecause.AGE: "is not old enough",
}


class PrunableRun(Struct, frozen=True):
    """A run whose events go, or went, into the archive."""

    run: str
    version: str
    status: RunState
    ended_at: float


class KeptRun(Struct, frozen=True):
    """A run that stays, and why; `names` are the resources or webhooks that need it."""

    run: str
    why: KeptBecause
    names: tuple[str, ...] = ()


class PrunedEnvironment(Struct, frozen=True):
    """One environment: the runs that go, those that stay, and how many are in archives already.

    `left` says why nothing of it can go now; "" if that is not so.
    """

    space: str
    name: str
    store: str
    runs: tuple[PrunableRun, ...] = ()
    kept: tuple[KeptRun, ...] = ()
    archived: int = 0
    left: str = ""


class PruneResult(Struct, frozen=True):
    """What was done. `archive` is the file, "" if nothing went. Sizes are in bytes.

    `events_size` is what the events took in the store. `freed` is what the stores' files lost, `unused` what is free
    inside them and used again. `refused` are runs that changed while they were being archived; they stay.
    """

    environments: tuple[PrunedEnvironment, ...]
    archive: str = ""
    runs: int = 0
    events: int = 0
    events_size: int = 0
    archive_size: int = 0
    freed: int = 0
    unused: int = 0
    refused: dict[str, str] = {}


class ImportedRun(Struct, frozen=True):
    """A run of an archive. `restored` is False if the store has its events, or `archive` has newer ones."""

    run: str
    environment: str
    store: str
    events: int
    restored: bool
    archive: str = ""


def prune_lines(one: PrunedEnvironment, done: str) -> list[str]:
    """An environment in words; `done` is what happens to the runs that go."""
    name = one.name + (" (simulated)" if one.space == "simulated" else "")
    if one.left:
        return [f"{name}: left as it is: {one.left}"]
    lines = [f"{name} in {one.store}: {counted(len(one.runs), 'run')} {done}, {len(one.kept):,} stay"]
    if one.archived:
        lines[0] += f", {one.archived:,} archived before"
    by_reason: dict[KeptBecause, list[KeptRun]] = {}
    for kept in one.kept:
        by_reason.setdefault(kept.why, []).append(kept)
    return [*lines, *(f"  {_stays(why, kept)}" for why, kept in by_reason.items())]


def _stays(why: KeptBecause, kept: list[KeptRun]) -> str:
    names = dict.fromkeys(name for one in kept for name in one.names)
    needed = f" ({some(list(names))})" if names else ""
    return f"stays: {some([one.run for one in kept])}: {WHY[why]}{needed}"


def size_in_words(size: int) -> str:
    """Bytes as people read them."""
    for unit, whole in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= whole:
            return f"{size / whole:.1f} {unit}"
    return counted(size, "byte")


def result_lines(result: PruneResult) -> list[str]:
    """The end of a prune in words."""
    lines = [f"run {run} stays: {why}" for run, why in result.refused.items()]
    if not result.runs:
        return [*lines, "nothing to archive"]
    before, after = size_in_words(result.events_size), size_in_words(result.archive_size)
    lines.append(f"{counted(result.runs, 'run')} with {counted(result.events, 'event')} archived ({before} to {after})")
    if result.freed or result.unused:
        words = f"the store's file is {size_in_words(result.freed)} smaller"
        lines.append(f"{words}; {size_in_words(result.unused)} in it are free and will be used again")
    return lines


def import_lines(runs: Iterable[ImportedRun]) -> list[str]:
    """The end of an import in words."""
    every = list(runs)
    back, newer = [one for one in every if one.restored], [one for one in every if one.archive]
    there = len(every) - len(back) - len(newer)
    words = f"{counted(len(back), 'run')} restored, with {counted(sum(one.events for one in back), 'event')}"
    return [
        *(f"run {one.run} went on and was archived again: its events are in {one.archive}" for one in newer),
        words + (f"; {counted(there, 'run')} had not left the store" if there else ""),
    ]
