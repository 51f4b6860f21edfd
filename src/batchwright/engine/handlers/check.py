"""Checks: look until it was well often enough in a row, or until the time is over."""

from __future__ import annotations

from collections.abc import Callable

from batchwright.engine import effects, reports
from batchwright.engine.handler_context import HandlerContext
from batchwright.engine.handlers.base import Handler
from batchwright.engine.handlers.command import CommandHandler
from batchwright.engine.limits import CallClass
from batchwright.engine.port_calls import trouble, turn
from batchwright.model.call_outcome import Applied, CheckResult, Rejected, Unknown
from batchwright.model.fault import Fault, FaultClass
from batchwright.operations.check import CheckRequest, own_addresses
from batchwright.probes.base import ProbeContext

LEAST_SECONDS = 1.0  # for a look that begins when the time is nearly over
GRACE = 30.0  # seconds beyond its limit for a prober to end by itself


class CheckHandler(Handler):
    """Asks the prober, or runs the program as commands do. Only looks: a look may be repeated at any time."""

    def __init__(self, context: HandlerContext) -> None:
        super().__init__(context)
        self._commands = CommandHandler(context)
        self._looking: set[tuple[int, int]] = set()

    async def do(self, command: effects.DoStep) -> reports.CallReport | None:
        """Look until all is well. None if this step is being looked at already."""
        key = command.step, command.attempt
        if key in self._looking:
            return None
        self._looking.add(key)
        output = self.context.output(command)
        try:
            return reports.CallReport(*key, await self._until_well(command.step, output.hear))
        finally:
            output.close()
            self._looking.discard(key)

    async def undo(self, command: effects.UndoStep) -> reports.UndoReport:
        """Nothing: it changed nothing."""
        return await self.context.undone(command, None)

    async def _until_well(self, i: int, tell: Callable[[str], None]) -> Applied | Rejected:
        clock, within = self.context.clock, self.context.timeout(i)
        request = self.request(i)
        until = clock.monotonic() + within
        self.context.release(i)  # each look takes one: a check that waits must not keep others from looking
        again = self.context.run.records[i].doubt
        in_a_row, last = 0, ""
        while True:
            async with turn(self.context.limits, self.context.run.lane(i), CallClass.CREATE, clock):
                seen = await self.look(i, max(LEAST_SECONDS, until - clock.monotonic()), again=again)
            if isinstance(seen, Rejected):
                return seen
            in_a_row = in_a_row + 1 if seen.ok else 0
            if in_a_row >= request.times:
                return Applied()
            again = not seen.ok
            if seen.output != last:  # what stays the same is said once
                last = seen.output
                tell(last)
            left = until - clock.monotonic()
            if left <= 0:
                return Rejected(Fault(FaultClass.TIMEOUT, _failure(request, within, seen), "check-failed"))
            await clock.sleep(min(request.every, left))

    def request(self, i: int) -> CheckRequest:
        """What a step looks at, with its values."""
        request = self.context.run.request(i)
        assert isinstance(request, CheckRequest)
        return request.written(self.context.own_values(i))

    async def look(self, i: int, seconds: float, *, again: bool = False, mark: str = "") -> CheckResult | Rejected:
        """Look once. `mark` marks the processes of its program, instead of the step's token; `again`: an earlier start
        may still run.
        """
        request = self.request(i)
        if request.program is not None:
            ran = self._commands.run(i, request.program, seconds, lambda _: None, again=again, mark=mark)
            return _of_program(await ran)
        run, prober = self.context.run, self.context.prober
        assert prober is not None, "a prober is opened for every plan with checks"
        restricted = run.created.client is not False
        servers = own_addresses(run) if restricted else frozenset()
        context = ProbeContext(self.context.step(i).id, run.token(i), seconds, restricted, servers)
        seen = await self.context.ask(seconds + GRACE, prober.probe(request, context))
        return CheckResult("check", False, seen.reason) if isinstance(seen, Unknown) else seen


def _of_program(outcome: Applied | Rejected | Unknown) -> CheckResult | Rejected:
    """What the end of a program shows. One that cannot be started at all is no use starting again."""
    match outcome:
        case Applied():
            return CheckResult("run", True, "exit code 0")
        case Rejected(fault=fault) if fault.kind is FaultClass.INVALID:
            return outcome
        case Rejected(fault=fault):
            return CheckResult("run", False, fault.message)
        case Unknown():
            return CheckResult("run", False, trouble(outcome).message)


def _failure(request: CheckRequest, within: float, seen: CheckResult) -> str:
    often = f"well {request.times} times in a row" if request.times > 1 else "well"
    return f"{request.subject} was not {often} within {within:g} s; seen last: {seen.output}"
