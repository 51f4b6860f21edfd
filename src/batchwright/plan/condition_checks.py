"""Whether the conditions of a workflow can ever hold: answers that are asked for, and handlers of failures. Pure."""

from __future__ import annotations

from batchwright.model.workflow import DependencyKind, OnFailure, Operation
from batchwright.operations.planner_state import Draft
from batchwright.operations.suggestions import did_you_mean


def check_conditions(draft: Draft) -> None:
    """Note every condition that no run could fulfil, and answers that no program can tell apart."""
    operations = {op.id: op for op in draft.order}
    for op in draft.order:
        for probe, answer in op.when.items():
            _check_answer(draft, op, operations[probe], answer)
        for number, edge in enumerate(op.dependencies):
            upstream = operations[edge.id]
            policy = upstream.on_failure or draft.workflow.on_failure
            if edge.kind is DependencyKind.FAILED and policy is not OnFailure.CONTINUE:
                message = f'it never runs: when "{edge.id}" fails, its on_failure = "{policy}" ends the run'
                hint = f'Set on_failure = "continue" on "{edge.id}".'
                draft.refuse("handler-never-runs", message, op.id, hint, f"dependencies.{number}.kind")
            elif edge.kind is DependencyKind.FAILED and edge.id in op.when:
                message = (
                    f'it never runs: it waits for "{edge.id}" to fail, and for an answer of it, which needs success'
                )
                hint = "Make an operation of its own for the failure."
                draft.refuse("handler-never-runs", message, op.id, hint, f"dependencies.{number}.kind")
    for op in draft.order:
        _check_answers(draft, op)


def _check_answer(draft: Draft, op: Operation, probe: Operation, answer: str) -> None:
    field = f"when.{probe.id}"
    if not probe.answers:
        message = f'it asks for the answer of "{probe.id}", which gives none'
        hint = "Only a command with answers = { NAME = EXIT_CODE } gives answers."
        draft.refuse("when-no-answers", message, op.id, hint, field)
    elif answer not in probe.answers:
        message = f'"{probe.id}" never answers "{answer}"'
        draft.refuse("when-unknown-answer", message, op.id, did_you_mean(answer, probe.answers), field)


def _check_answers(draft: Draft, command: Operation) -> None:
    if command.answers and command.targets is not None:
        message = "a command that runs on servers has an end on each of them, and no single answer"
        draft.refuse("answers-on-servers", message, command.id, "Remove targets, or answers.", "answers")
    if command.answers and command.unless:
        message = "a command with unless may not be run at all, and then gives no answer"
        draft.refuse("answers-with-unless", message, command.id, "Remove unless, or answers.", "answers")
    by_code: dict[int, str] = {}
    for answer, code in command.answers.items():
        first = by_code.setdefault(code, answer)
        if first != answer:
            message = f'exit code {code} is both "{first}" and "{answer}"'
            draft.refuse(
                "answers-ambiguous", message, command.id, "Give each answer its own code.", f"answers.{answer}"
            )
