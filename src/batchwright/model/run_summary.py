"""One row per run, so that a list of runs needs no fold."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from batchwright.model.environment import REAL, SIMULATED, EnvironmentKey
from batchwright.model.lifecycle import RUN_ENDED, RunState

LATER = ("by", "environment", "not_wanted")  # fields that rows of older versions do not have


class RunSummary(Struct, frozen=True, gc=False):
    """What `list` and `stats` need. Times are seconds since the epoch, 0 when it has not happened."""

    run: str
    workflow: str
    version: str
    status: RunState
    store: str
    created_at: float
    started_at: float = 0.0
    ended_at: float = 0.0
    updated_at: float = 0.0
    steps: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    undone: int = 0
    retries: int = 0
    throttles: int = 0
    restarts: int = 0  # drivers that took over from one that died
    simulated: bool = False
    rollback_due: bool = False  # Failed, and about to roll back by itself
    by: str = ""  # its creator; empty in rows from before this was recorded
    key: str = ""  # the Idempotency-Key of the submit
    digest: str = ""  # of what was submitted with it
    environment: str = ""  # its name; not in rows from before there were any
    degraded: int = 0  # operations of a Completed run in which some steps did not succeed
    turn: int = 0  # its newest turn in the environment
    providers: dict[str, dict[str, int]] = {}  # provider -> steps, succeeded, failed, retries, throttles
    archive: str = ""  # the file that has its events, if the store has them no more; relative to the state folder
    archived_at: float = 0.0
    asks: int = 0  # open questions to people
    wakes_at: float = 0.0  # when the first of them expires
    not_wanted: int = 0  # of the steps

    @property
    def environment_key(self) -> EnvironmentKey:
        """The environment that the run changes."""
        return EnvironmentKey(SIMULATED if self.simulated else REAL, self.environment or self.workflow)

    @property
    def holds_environment(self) -> bool:
        """Whether it is this run's turn in its environment."""
        return self.turn > 0 and (self.status not in RUN_ENDED or self.rollback_due)

    def is_of(self, folded: RunSummary) -> bool:
        """Whether this row matches the fold; a row of an older version lacks newer fields."""
        lacking = {name: value for name in LATER if not (value := getattr(self, name))}
        return self == replace(folded, **lacking)
