"""Programs that do nothing but leave a line in a ledger, which outlives every process that starts them."""

from __future__ import annotations

from collections import Counter

from batchwright.commands.base import Launch
from batchwright.model.call_outcome import Applied, Rejected, Unknown
from batchwright.model.clock import Clock
from batchwright.model.fault import Fault, FaultClass
from batchwright.operations.command import Command, CommandRequest

SECONDS = 0.3  # that a program takes
EXITS = Rejected(Fault(FaultClass.EXIT, "it exited with code 1"))
LOST = Unknown("the connection was lost")


class Ledger:
    """The launcher port; `ran` and `undone` count the starts of each step."""

    def __init__(self, clock: Clock) -> None:
        self.ran: Counter[str] = Counter()
        self.undone: Counter[str] = Counter()
        self._clock = clock

    async def resolve(self, command: Command) -> CommandRequest:
        return CommandRequest(command.id, command.run, command.undo, idempotent=command.idempotent)

    async def launch(self, request: CommandRequest, launch: Launch) -> Applied | Rejected | Unknown:
        tally = self.undone if launch.undo else self.ran
        tally[launch.step] += 1
        await self._clock.sleep(SECONDS)
        if "flaky" in request.run and tally[launch.step] == 1:
            return EXITS
        if "lost" in request.run and tally[launch.step] == 1:
            return LOST
        return Applied(answer=next((answer for answer, code in request.answers.items() if code), ""))

    async def left_over(self, _launch: Launch) -> str:
        return ""
