"""The port of what has runs driven by other processes, when the service does not drive them itself."""

from __future__ import annotations

from typing import Protocol

from batchwright.model.run_summary import RunSummary


class RunDispatcher(Protocol):
    """Knows whose turn it is, never what happened in a run: that is in its journal."""

    def takes(self, store: str) -> bool:
        """Whether runs of this store are driven elsewhere: only of one that other processes reach."""
        ...

    async def dispatch(self, row: RunSummary, *, wake: bool = False) -> None:
        """Have a run driven by a worker that has room; does nothing if that is under way.

        `wake`: somebody has answered a question, so a driver that is about to let the run rest goes on instead. Raises
        TemporalUnavailable.
        """
        ...

    async def trouble(self) -> str:
        """Why dispatched runs wait, as far as it is known; empty for no reason. Raises TemporalUnavailable."""
        ...
