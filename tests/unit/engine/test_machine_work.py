"""Deciding a workflow of twice as many operations is about twice the work, whatever the operations say."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest
from msgspec.structs import replace

from batchwright.engine import effects, reports
from batchwright.engine import machine as machine_module
from batchwright.engine.forward import Forward
from batchwright.engine.machine import Machine
from batchwright.model import events as ev
from batchwright.model.call_outcome import Applied
from batchwright.model.lifecycle import RUN_ENDED, RunState
from batchwright.model.plan import Plan
from batchwright.model.run import Run
from batchwright.model.workflow import Dependency
from batchwright.operations.command import CommandRequest
from tests.unit.engine.stage import QUICK, Part, plan_of, runs


def chain(number: int, kind: str) -> list[Part]:
    """Pairs of commands, the second of which depends on the first in this way."""
    parts: list[Part] = []
    for k in range(number):
        op, [step] = runs(f"o{k}", undo=False, idempotent=True)
        first = k % 2 == 0
        answers = {"no": 3} if kind == "when" and first else {}
        references = ("run.id",) if kind == "values" else ()
        request = CommandRequest("x", ("x",), idempotent=True, answers=answers, references=references)
        if not first:
            op = replace(
                op, dependencies=(Dependency(f"o{k - 1}"),), when={f"o{k - 1}": "no"} if kind == "when" else {}
            )
        least = "100%" if kind == "min_success" else ""
        parts.append((replace(op, min_success=least), [replace(step, request=request)]))
    return parts


def work(plan: Plan) -> int:
    """How many instructions of Python it takes to decide a run of this plan."""
    run = Run(ev.RunCreated(0.0, "run", plan))
    machine = Machine(run)
    instructions = 0

    def count(frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal instructions
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        instructions += event == "opcode"
        return count

    def play() -> None:
        machine.apply(ev.DriverStarted(0.0, "test", 1))
        while run.status not in RUN_ENDED:
            for event in machine.decide(0.0, {"commands": 100}):
                for command in machine.apply(event):
                    assert isinstance(command, effects.DoStep)
                    answer = next(iter(run.plan.steps[command.step].request.answers), "")
                    report = reports.CallReport(command.step, command.attempt, Applied(answer=answer))
                    for ended in machine.accept(report, 0.0):
                        machine.apply(ended)

    before = sys.gettrace()
    sys.settrace(count)
    try:
        play()
    finally:
        sys.settrace(before)
    assert run.status is RunState.COMPLETED
    return instructions


@pytest.mark.parametrize("kind", ["plain", "when", "values", "min_success"])
def test_the_work_of_deciding_grows_with_the_number_of_operations(kind: str) -> None:
    small, large = (work(plan_of(QUICK, *chain(number, kind), limit=50)) for number in (60, 240))
    assert large < 5 * small


def test_what_is_known_of_a_run_is_worked_out_once_when_driving_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Counted(Forward):
        def __init__(self, run: Run) -> None:
            made.append(run)
            super().__init__(run)

    monkeypatch.setattr(machine_module, "Forward", Counted)
    run = Run(ev.RunCreated(0.0, "run", plan_of(QUICK, *chain(4, "plain"))))
    machine = Machine(run)
    machine.apply(ev.DriverStarted(0.0, "test", 1))
    machine.apply(ev.RunStarted(0.0))
    assert machine.decide(0.0, {"commands": 100})
    assert len(made) == 1
