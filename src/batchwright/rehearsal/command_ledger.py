"""A launcher that runs nothing and records each start, in a ledger that outlives every process."""

from __future__ import annotations

from collections import Counter

from batchwright.commands.base import Launch
from batchwright.model.call_outcome import Applied, Rejected, Unknown
from batchwright.model.clock import Clock
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.fault import Fault, FaultClass
from batchwright.operations.command import Command, CommandRequest

EXITS = Rejected(Fault(FaultClass.EXIT, "it exited with code 1"))


class CommandLedger:
    """The launcher port. `ran` and `undone` count the starts of each step, `words` are what it was started with.

    A program takes `seconds` and exits with the first of its answers. It gives another value at each start, and its
    `unless` succeeds once a start has ended.
    """

    seconds = 0.3

    def __init__(self, clock: Clock) -> None:
        self.ran: Counter[str] = Counter()
        self.undone: Counter[str] = Counter()
        self.words: dict[str, set[tuple[str, ...]]] = {}
        self.gave: dict[str, dict[str, str]] = {}
        self._clock = clock

    async def resolve(self, command: Command, _folder: str = "") -> CommandRequest | list[Diagnostic]:
        return CommandRequest.of(command, command.run[0])

    async def launch(self, request: CommandRequest, launch: Launch) -> Applied | Rejected | Unknown:
        if launch.only_unless:
            gave = self.gave.get(launch.step)
            return EXITS if gave is None else Applied(changed=False, outputs=gave)
        self.words.setdefault(launch.step, set()).add(request.undo[1:] if launch.undo else request.run[1:])
        starts = self.undone if launch.undo else self.ran
        starts[launch.step] += 1
        number = starts[launch.step]
        await self._clock.sleep(self.seconds)
        return self._ended(request, launch, number)

    def _ended(self, request: CommandRequest, launch: Launch, number: int) -> Applied | Rejected | Unknown:
        """The outcome of a program that has run to its end; `number` counts its starts."""
        gave = self.gave[launch.step] = {key: f"{key} {number}" for key in request.outputs}
        return Applied() if launch.undo else Applied(outputs=gave, answer=self.answer(request))

    def answer(self, request: CommandRequest) -> str:
        """The name of its exit code, if its command names them."""
        return next(iter(request.answers), "")

    async def left_over(self, _launch: Launch) -> str:
        return ""
