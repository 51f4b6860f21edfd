"""Which runs of an environment a store still needs, and which may go into an archive. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum

from msgspec import Struct

from batchwright.model.environment import Resource
from batchwright.model.lifecycle import RUN_ENDED
from batchwright.model.run_summary import RunSummary


class KeptBecause(StrEnum):
    """Why a run stays in the store."""

    NOT_ENDED = "not-ended"
    IN_TURN = "in-turn"  # what it did in its newest turn is not in the environment's resources yet
    UNSETTLED = "unsettled"  # it left a call of unknown outcome
    NEWEST_CHANGE = "newest-change"  # no newer run changed anything: it is the next that can be rolled back
    NEWEST_TURN = "newest-turn"  # its plan says how the environment is reached
    RESOURCE = "resource"  # something that exists was made or changed by it, carries its labels, or lets its key in
    WEBHOOK = "webhook"  # a webhook has not had all of its events
    COUNT = "count"  # among the newest that are to be kept
    AGE = "age"  # younger than what is to go


class Retention(Struct, frozen=True):
    """What somebody wants to keep: the newest `keep` runs, and what changed in the last `seconds`."""

    keep: int = 0
    seconds: float = 0.0


class NeededRun(Struct, frozen=True):
    """Why a run is needed. `names` are the resources that need it, or the webhooks."""

    why: KeptBecause
    names: tuple[str, ...] = ()


def needed_by_resources(resources: Collection[Resource]) -> dict[str, NeededRun]:
    """The runs that something that exists needs: it carries their labels and lets their key in, or they made or last
    changed it. That includes what a run left half done, in doubt, or could not undo.
    """
    names: dict[str, dict[str, None]] = {}
    former = (each for one in resources for left in one.leftovers for each in left.former)
    left = (server for one in resources for server in one.leftover_servers)
    for one in (*resources, *left, *former):
        for run in (one.run, one.made_by, one.changed_by):
            if run:
                names.setdefault(run, {})[f"{one.server}/{one.name}" if one.server else one.name] = None
    return {run: NeededRun(KeptBecause.RESOURCE, tuple(found)) for run, found in names.items()}


def kept_runs(
    rows: Iterable[RunSummary], through: int, needed: Mapping[str, NeededRun], wanted: Retention, now: float
) -> dict[str, NeededRun]:
    """Of an environment's runs those that stay, with the reason. The others may go.

    `through` is the newest turn that is in the environment's resources, `needed` what else needs a run.
    """
    kept: dict[str, NeededRun] = {}
    for number, row in enumerate(sorted(rows, key=lambda one: (-one.created_at, one.run))):
        why: KeptBecause | None = None
        if row.status not in RUN_ENDED or row.rollback_due:
            why = KeptBecause.NOT_ENDED
        elif row.turn > through:
            why = KeptBecause.IN_TURN
        elif row.run in needed:
            kept[row.run] = needed[row.run]
        elif number < wanted.keep:
            why = KeptBecause.COUNT
        elif now - max(row.ended_at, row.updated_at) < wanted.seconds:
            why = KeptBecause.AGE
        if why is not None:
            kept[row.run] = NeededRun(why)
    return kept
