"""A state that is saved once, and from which all runs go on that begin alike."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from batchwright.rehearsal.fault_spec import Experiment, Injection
from batchwright.testing.crash_state_recorder import SharedValues, restore, save

# what a run has from its experiment and its plan, and what lives in its loop only
CONSTANT = frozenset(
    {
        *("scenario", "rehearsed", "experiment", "operations", "step_of_server", "step_of_install", "clouds"),
        *("existing_names", "calls_most", "_suspends", "_suspended", "_asks", "has_holds"),
    }
)


class SavedStart(Struct, frozen=True):
    """The state after a death, or at the forward end: everything has run and nothing is rolled back yet.

    At the forward end the first process lives, and `counts` are those of its calls so far.
    """

    state: bytes
    shared: SharedValues
    death: Injection | None = None
    counts: Counter[tuple[str, str]] | None = None

    def restore(self, run: object) -> float:
        """Put a new run into this state; gives the time at which its loop goes on."""
        return restore(run, self.state, self.shared)

    def is_before(self, experiment: Experiment) -> bool:
        """Whether the process at the forward end comes to all its faults later."""
        counts, first = self.counts, [one for one in experiment.injections if one.process == 1]
        return counts is not None and all(one.number > counts[one.subject, one.verb] for one in first)


def saved_start(
    run: object,
    shared: SharedValues,
    death: Injection | None = None,
    counts: Counter[tuple[str, str]] | None = None,
) -> SavedStart:
    """Save what outlives a process of the run."""
    return SavedStart(save(run, CONSTANT, shared), shared, death, counts)
