"""Why runs that should be driven are not, and when each is to be taken up again."""

from __future__ import annotations

import logging

from batchwright.model.lifecycle import RUN_ENDED
from batchwright.model.run import Run
from batchwright.model.run_summary import RunSummary

log = logging.getLogger("batchwright.orchestrator")


class RunTroubles(dict[str, str]):
    """Run -> why it could not be driven last time. Each time the next try is twice as far off, up to `most` seconds."""

    def __init__(self, first: float, most: float) -> None:
        super().__init__()
        self._first, self._most = first, most
        self._delays: dict[str, float] = {}

    def tell(self, now: Run | RunSummary, words: str) -> None:
        """Log and remember why a run that should be driven is not; forget it for a run that has ended."""
        run_id = now.id if isinstance(now, Run) else now.run
        if self.get(run_id) != words:
            log.warning("run %s is not driven: %s", run_id, words)
        if now.status in RUN_ENDED and not now.rollback_due:
            self.forget(run_id)
            return
        self[run_id] = words
        self._delays[run_id] = min(self._most, 2 * self._delays.get(run_id, self._first / 2))

    def forget(self, run_id: str) -> None:
        """It is driven, or need not be."""
        self.pop(run_id, None)
        self._delays.pop(run_id, None)

    def delay(self, run_id: str) -> float:
        """Seconds until the next try; 0 for a run without trouble."""
        return self._delays.get(run_id, 0.0)
