"""The commands for questions to people: approvals, approve, refuse."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from batchwright.app.approvals import AnswerRequest
from batchwright.cli import completion
from batchwright.cli.approval_printer import show_questions
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Json, NoColor, RunArgument, StateDir
from batchwright.cli.output import note, print_json, say
from batchwright.cli.target import Url, chosen, chosen_run, show_warnings
from batchwright.errors import ApprovalLate, UsageError
from batchwright.model.lifecycle import RUN_ENDED
from batchwright.views.approvals import OpenQuestion, given_words
from batchwright.views.run import RunView
from batchwright.views.text_format import counted, one_line

OfRun = Annotated[
    str,
    typer.Argument(
        metavar="[RUN]", help="Only of this run or of an environment's newest run.", autocompletion=completion.runs
    ),
]
StepArgument = Annotated[
    str, typer.Argument(metavar="[STEP]", help="The step that asks, if the run asks several questions.")
]
Comment = Annotated[str, typer.Option("--comment", metavar="TEXT", help="Why, for everybody who looks at the run.")]
Hash = Annotated[
    str, typer.Option("--hash", metavar="HASH", help="Refuse to answer another question than the one with this hash.")
]


def approvals(
    run: OfRun = "", state_dir: StateDir = None, url: Url = None, json: Json = False, _no_color: NoColor = False
) -> int:
    """What runs ask people now: what a yes lets through, who may answer, until when, and how."""
    with chosen(url, state_dir) as client:
        questions = client.approvals(run)
        show_warnings(client)
    if json:
        print_json({"approvals": questions})
    elif questions:
        show_questions(questions, time.time())
    else:
        say("nothing is asked now")
    return Exit.OK


def approve(
    run: RunArgument,
    step: StepArgument = "",
    comment: Comment = "",
    digest: Hash = "",
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Say yes to a question of a run. An answer cannot be changed."""
    return _answer(run, step, comment, digest, state_dir, url, yes=True, json=json)


def refuse(
    run: RunArgument,
    step: StepArgument = "",
    comment: Comment = "",
    digest: Hash = "",
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Say no to a question of a run: what is behind it does not run. The first no decides."""
    return _answer(run, step, comment, digest, state_dir, url, yes=False, json=json)


def _answer(
    run: str, step: str, comment: str, digest: str, state_dir: Path | None, url: str | None, *, yes: bool, json: bool
) -> int:
    with chosen_run(run, url, state_dir) as (client, view):
        question = _meant(view, step)
        request = AnswerRequest(yes, question.step, comment, digest or question.hash, question.ask)
        after = client.answer(view.run, request)
    if json:
        print_json(after)
        return Exit.OK
    say(f"{'approved' if yes else 'refused'} {question.step} of run {view.run}: {one_line(question.question)}")
    left = next((one for one in after.asks if one.step == question.step and one.ask == question.ask), None)
    if left is not None and after.driven:
        say(given_words(left))
    if not after.driven and after.status not in RUN_ENDED:
        note(f"no process drives run {view.run}; it hears the answer with: batchwright resume {view.run}")
    say(f"next: batchwright status {view.run}")
    return Exit.OK


def _meant(view: RunView, word: str) -> OpenQuestion:
    """The open question that a person means. Raises ApprovalLate if there is none, UsageError for one of several."""
    found: Sequence[OpenQuestion] = [one for one in view.asks if one.step == word]
    found = found or [one for one in view.asks if word in one.step]
    if len(found) == 1:
        return found[0]
    if view.asks:
        raise UsageError(
            f"run {view.run} asks {counted(len(view.asks), 'question')}"
            + (f", none of them in {word!r}" if not found else ""),
            hint=f"Name the STEP: {', '.join(one.step for one in view.asks)}",
        )
    why = f"is {view.status}; its questions are closed" if view.status in RUN_ENDED else "asks nothing now"
    raise ApprovalLate(f"run {view.run} {why}")
