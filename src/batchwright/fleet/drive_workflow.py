"""The workflow that has one run driven: one activity, however many steps the run has. It decides nothing about the run.

Without imports of this package: Temporal replays it from its history.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeKey

ENVIRONMENT = SearchAttributeKey.for_keyword("BatchwrightEnvironment")
STATUS = SearchAttributeKey.for_keyword("BatchwrightStatus")
HEARTBEAT_TIMEOUT = timedelta(seconds=4)  # without a heartbeat for so long, another worker takes the run
LONGEST = timedelta(days=3650)  # a run may take as long as it takes
AGAIN = RetryPolicy(initial_interval=timedelta(seconds=1), backoff_coefficient=1.0)


@workflow.defn(name="drive")
class DriveWorkflow:
    """Ends when the run has ended, or rests until somebody answers its question."""

    def __init__(self) -> None:
        self._woken = False

    @workflow.signal
    def wake(self) -> None:
        """Note that the run has something to do again."""
        self._woken = True

    @workflow.run
    async def run(self, run_id: str) -> str:
        """Have the run driven; gives the status in which it was left."""
        while True:
            self._woken = False
            left: dict[str, Any] = await workflow.execute_activity(
                "drive",
                run_id,
                start_to_close_timeout=LONGEST,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                retry_policy=AGAIN,
            )
            workflow.upsert_search_attributes([STATUS.value_set(left["status"])])
            if not (left["rests"] and self._woken):
                return str(left["status"])
