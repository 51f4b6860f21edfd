"""Asks the questions of a run that this command drives: on the terminal, or by printing the command that answers."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
from collections.abc import Sequence

from batchwright.app.approvals import AnswerRequest
from batchwright.cli.approval_printer import show_questions
from batchwright.cli.output import note, prompt
from batchwright.client.base import Client
from batchwright.errors import BatchwrightError
from batchwright.model import events as ev
from batchwright.views.approvals import OpenQuestion, answer_line
from batchwright.views.progress_update import ProgressUpdate

_ABOUT = (ev.HoldAsked, ev.HoldGranted, ev.HoldPassed, ev.HoldRefused, ev.HoldExpired, ev.RunEnded, ev.StepSkipped)
LINE_BYTES = 4096
HEARD_SECONDS = 1.0  # within which a driver reads what was answered before it began


class QuestionPrompt:
    """After each update `is_due`, then `take`; neither waits: the run goes on while somebody thinks.

    `active`: the terminal shows a question, so nothing else is to be drawn on it.
    """

    def __init__(self, client: Client, run: str, *, terminal: bool) -> None:
        self.active = False
        self._client = client
        self._run = run
        self._terminal = terminal
        self._asks: Sequence[OpenQuestion] = ()
        self._told: set[tuple[str, int]] = set()
        self._current: OpenQuestion | None = None
        self._yes: bool | None = None  # what was said, while a comment is typed
        self._typed = b""
        self._old: set[tuple[str, int]] = set()  # open before this process drove the run
        self._began: float | None = None

    @staticmethod
    def on_terminal() -> bool:
        """Whether somebody can be asked here."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def is_due(self, update: ProgressUpdate) -> bool:
        """Whether `take` is about to show a question, so that a picture must make room; reads what is asked."""
        if self._began is None or any(isinstance(event, _ABOUT) for event in update.events):
            self._asks = update.view.asks
        if self._began is None:
            self._began = time.monotonic()
            heard = any(isinstance(event, ev.HoldAsked) for event in update.events)
            self._old = set() if heard else {_key(one) for one in self._asks}
        return not self.active and any(self._is_new(one) for one in self._asks)

    def _is_new(self, one: OpenQuestion) -> bool:
        """Whether a question is to be shown; one of an earlier process may have been answered, which is heard soon."""
        assert self._began is not None
        heard = time.monotonic() - self._began >= HEARD_SECONDS or _key(one) not in self._old
        return heard and _key(one) not in self._told

    def take(self) -> None:
        """Show what is newly asked, and pass on what was typed."""
        if self._current is not None and _key(self._current) not in map(_key, self._asks):
            prompt("\n")
            note("it was decided elsewhere")
            self._next()
        if self._current is None:
            self._show_new()
        elif self._terminal:
            self._read()

    def _next(self) -> None:
        self._current, self._yes, self.active = None, None, False

    def _show_new(self) -> None:
        for one in self._asks:
            if not self._is_new(one):
                continue
            self._told.add(_key(one))
            show_questions([one], time.time(), to_stderr=True)
            refusal = self._client.cannot_answer(one) if self._terminal else ""
            if refusal:
                note(f"you cannot answer it here: {refusal}")
            if not self._terminal or refusal:
                continue
            self._current, self.active, self._typed = one, True, b""
            termios.tcflush(0, termios.TCIFLUSH)  # what was typed before answers something else
            prompt("Approve? [y/n] ")
            return

    def _read(self) -> None:
        """Take whole lines that were typed, without waiting for one."""
        if not select.select([0], [], [], 0)[0]:
            return
        read = os.read(0, LINE_BYTES)
        if not read:  # the terminal is gone: others can still answer
            self._terminal = False
            assert self._current is not None
            note(answer_line(self._current))
            self._next()
            return
        self._typed = (self._typed + read)[-2 * LINE_BYTES :]
        while b"\n" in self._typed and self._current is not None:
            line, _, self._typed = self._typed.partition(b"\n")
            self._line(line.decode(errors="replace").strip())

    def _line(self, line: str) -> None:
        assert self._current is not None
        if self._yes is None:
            word = line.lower()
            if word not in ("y", "yes", "n", "no"):
                prompt("Please type y or n: ")
                return
            self._yes = word.startswith("y")
            prompt("Comment (Enter for none): ")
            return
        one, yes = self._current, self._yes
        self._next()
        try:
            self._client.answer(self._run, AnswerRequest(yes, one.step, line, one.hash, one.ask))
        except BatchwrightError as error:
            note(f"error: {error.message} [{error.code}]", "red")
            self._told.discard(_key(one))  # it is asked again as long as it is open


def _key(one: OpenQuestion) -> tuple[str, int]:
    return one.step, one.ask
