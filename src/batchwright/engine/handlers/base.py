"""The interface of a handler, which carries out the steps of one operation type."""

from __future__ import annotations

from abc import ABC, abstractmethod

from batchwright.engine import effects, reports
from batchwright.engine.handler_context import HandlerContext


class Handler(ABC):
    """One instance per operation type and run. Each method calls a port and gives one report.

    None means that something else reports: an earlier start of the same command, or a poller. The step's permit is
    returned with the report, or earlier by `HandlerContext.release`.
    """

    def __init__(self, context: HandlerContext) -> None:
        self.context = context

    @abstractmethod
    async def do(self, command: effects.DoStep) -> reports.CallReport | None:
        """Send the call of a step."""

    @abstractmethod
    async def undo(self, command: effects.UndoStep) -> reports.UndoReport | None:
        """Undo a step until nothing of it is left, or report why that failed this time."""

    async def settle(
        self, command: effects.Settle | effects.DoStep
    ) -> reports.CallReport | reports.SettleReport | None:
        """Find out whether a call in doubt took effect. Only for actions whose doubt is LOOK or ASK."""
        raise AssertionError(f"{type(self).__name__} cannot settle {command}")

    def wait(self, command: effects.Await) -> reports.ServerReport | None:
        """Report once what a step created or keeps is ready. Only for such actions."""
        raise AssertionError(f"{type(self).__name__} cannot wait: {command}")
