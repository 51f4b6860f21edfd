"""Programs whose first start fails: by their words."""

from __future__ import annotations

from batchwright.commands.base import Launch
from batchwright.model.call_outcome import Applied, Rejected, Unknown
from batchwright.operations.command import CommandRequest
from batchwright.rehearsal.command_ledger import EXITS, CommandLedger

LOST = Unknown("the connection was lost")


class FlakyLedger(CommandLedger):
    """A `flaky` program exits with 1 at its first start, and the end of a `lost` one is not known."""

    def _ended(self, request: CommandRequest, launch: Launch, number: int) -> Applied | Rejected | Unknown:
        if "flaky" in request.run and number == 1:
            return EXITS
        outcome = super()._ended(request, launch, number)
        return LOST if "lost" in request.run and number == 1 else outcome

    def answer(self, request: CommandRequest) -> str:
        return next((answer for answer, code in request.answers.items() if code), "")
