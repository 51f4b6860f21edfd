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
    """The launcher port; `ran` and `undone` count the starts of each step, `words` are what it was started with.

    What a step gives is another value at each start, and its `unless` knows what the last one that ended gave.
    """

    def __init__(self, clock: Clock) -> None:
        self.ran: Counter[str] = Counter()
        self.undone: Counter[str] = Counter()
        self.words: dict[str, set[tuple[str, ...]]] = {}
        self.gave: dict[str, dict[str, str]] = {}
        self._clock = clock

    async def resolve(self, command: Command) -> CommandRequest:
        return CommandRequest(command.id, command.run, command.undo, idempotent=command.idempotent)

    async def launch(self, request: CommandRequest, launch: Launch) -> Applied | Rejected | Unknown:
        if launch.only_unless:
            gave = self.gave.get(launch.step)
            return EXITS if gave is None else Applied(changed=False, outputs=gave)
        self.words.setdefault(launch.step, set()).add(request.undo[1:] if launch.undo else request.run[1:])
        tally = self.undone if launch.undo else self.ran
        tally[launch.step] += 1
        await self._clock.sleep(SECONDS)
        if "flaky" in request.run and tally[launch.step] == 1:
            return EXITS
        gave = self.gave[launch.step] = {key: f"{key} {tally[launch.step]}" for key in request.outputs}
        if "lost" in request.run and tally[launch.step] == 1:
            return LOST
        answer = next((answer for answer, code in request.answers.items() if code), "")
        return Applied(outputs={} if launch.undo else gave, answer=answer)

    async def left_over(self, _launch: Launch) -> str:
        return ""
