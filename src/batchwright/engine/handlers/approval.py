"""Approvals send nothing: the machine waits for answers, which come as signals."""

from __future__ import annotations

from batchwright.engine import effects, reports
from batchwright.engine.handlers.base import Handler


class ApprovalHandler(Handler):
    """Never called: the traits of its actions hold the run back without a call."""

    async def do(self, command: effects.DoStep) -> reports.CallReport | None:
        raise AssertionError(f"an approval sends nothing: {command}")

    async def undo(self, command: effects.UndoStep) -> reports.UndoReport | None:
        raise AssertionError(f"an approval has nothing to undo: {command}")
