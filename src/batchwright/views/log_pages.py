"""The log of a run or of one step in pages, searched: lines that hold a text, with the lines around them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from msgspec import Struct

from batchwright.model import events as ev
from batchwright.views.display_state import DisplayState
from batchwright.views.events import event_line, step_text
from batchwright.views.run_history import RunHistory

LIMIT_MOST, CONTEXT_MOST = 2_000, 20  # lines of a page, and around each match
DIED = "the process that made this call is gone: the outcome is in doubt"


class LogEntry(Struct, frozen=True):
    """One line. `n` is its number in the log, from 1; `seq` and `type` are its event's number and tag.

    `match`: it holds what was looked for, and is not only near it. `undo`: it belongs to an undo.
    """

    n: int
    seq: int
    at: float
    type: str
    step: str
    attempt: int
    text: str
    undo: bool = False
    match: bool = False


class LogPage(Struct, frozen=True):
    """Lines of the log of a run, or of one step, as it was after event `seq`.

    `total` are all lines, and `matching` those that hold the text; None for the log of a whole run, where they are not
    counted. `next_after` leads to the next page, which may be empty; None after the last.
    """

    run: str
    step: str
    seq: int
    total: int
    matching: int | None
    items: tuple[LogEntry, ...]
    next_after: int | None


class LogQuery(Struct, frozen=True):
    """`find` is a text in any case; with it, only lines that hold it, and `context` lines before and after each."""

    find: str = ""
    context: int = 0
    after: int = 0
    limit: int = 500


class LogSearch:
    """Takes the lines of a log in order and keeps those of the page. To continue, begin `context` lines earlier."""

    def __init__(self, query: LogQuery) -> None:
        self.items: list[LogEntry] = []
        self.matching = 0
        self.more = False  # there is a line beyond the page
        self._query = query
        self._word = query.find.casefold()
        self._before: deque[LogEntry] = deque(maxlen=query.context)
        self._left = 0  # lines to show after the last match

    def take(self, entries: Iterable[LogEntry]) -> None:
        """Add the next lines."""
        for entry in entries:
            self._take(entry)

    def _take(self, entry: LogEntry) -> None:
        if not self._word:
            self._show(entry)
        elif self._word in entry.text.casefold() or self._word in entry.step.casefold():
            self.matching += 1
            for earlier in self._before:
                self._show(earlier)
            self._before.clear()
            self._show(_matched(entry))
            self._left = self._query.context
        elif self._left:
            self._left -= 1
            self._show(entry)
        else:
            self._before.append(entry)

    def _show(self, entry: LogEntry) -> None:
        if entry.n <= self._query.after:
            return
        if len(self.items) < self._query.limit:
            self.items.append(entry)
        else:
            self.more = True


def _matched(entry: LogEntry) -> LogEntry:
    return LogEntry(
        entry.n, entry.seq, entry.at, entry.type, entry.step, entry.attempt, entry.text, entry.undo, match=True
    )


def run_entry(seq: int, event: ev.AnyEvent) -> LogEntry:
    """An event as a line of the log of a whole run."""
    step, attempt = getattr(event, "step", ""), getattr(event, "attempt", 0)
    return LogEntry(seq, seq, event.at, _tag(event), step, attempt, event_line(event), _is_undo(event))


def step_entries(
    history: RunHistory, i: int, seq: int, events: Iterable[tuple[int, ev.AnyEvent]]
) -> Iterator[LogEntry]:
    """The lines of a step's log until event `seq`, from the events of this step alone."""
    step = history.run.plan.steps[i].id
    deaths = deque(
        (known, at)
        for known, at, state in history.changes[i]
        if state is DisplayState.IN_DOUBT and known <= seq and known not in history.step_events[i]
    )
    n = attempt = 0
    for number, event in events:
        while deaths and deaths[0][0] < number:
            n += 1
            yield LogEntry(n, *deaths.popleft(), "driver_started", step, attempt, DIED)
        attempt = getattr(event, "attempt", attempt)
        lines = event.lines if isinstance(event, ev.StepOutput) else (step_text(event),)
        for line in lines:
            n += 1
            yield LogEntry(n, number, event.at, _tag(event), step, attempt, line, _is_undo(event))
    for known, at in deaths:
        n += 1
        yield LogEntry(n, known, at, "driver_started", step, attempt, DIED)


def step_log(
    history: RunHistory, i: int, seq: int, events: Iterable[tuple[int, ev.AnyEvent]], query: LogQuery
) -> LogPage:
    """A page of a step's log, from the events of this step alone."""
    search, entries = LogSearch(query), list(step_entries(history, i, seq, events))
    search.take(entries)
    total, run = len(entries), history.run
    following = search.items[-1].n if search.more and search.items else None
    matching = search.matching if query.find else total
    return LogPage(run.id, run.plan.steps[i].id, seq, total, matching, tuple(search.items), following)


def _tag(event: ev.AnyEvent) -> str:
    return str(event.__struct_config__.tag)


def _is_undo(event: ev.AnyEvent) -> bool:
    undo = ev.UndoStarted | ev.UndoRetrying | ev.UndoFailed | ev.StepUndone
    return isinstance(event, undo) or (isinstance(event, ev.StepOutput) and event.undo)
