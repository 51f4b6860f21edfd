"""What a slice about a run is computed from, and what several of them say alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from batchwright.agents.slices.base import Evidence, Fact
from batchwright.agents.slices.untrusted_text import fenced, name
from batchwright.errors import UsageError
from batchwright.model.environment import EnvironmentKey
from batchwright.model.events import AnyEvent
from batchwright.model.lifecycle import RUN_ENDED, StepState
from batchwright.model.run import Run
from batchwright.views.approvals import open_questions
from batchwright.views.display_state import DisplayState, display_counts, total
from batchwright.views.log_pages import LogEntry
from batchwright.views.run_history import RunHistory
from batchwright.views.wait_reasons import Circumstances


class RunSource(Struct, frozen=True):
    """A run as it was after `run.seq`, at the time `now` (seconds since the epoch).

    `events` are those of it that the slice asked for (`wanted_events`), with their numbers. `earlier` is the newest run
    of its environment before it that completed, if there is one and it was read.
    """

    run: Run
    history: RunHistory
    now: float
    around: Circumstances = Circumstances()
    events: Sequence[tuple[int, AnyEvent]] = ()
    earlier: RunSource | None = None

    def events_of(self, step: int) -> list[tuple[int, AnyEvent]]:
        """Those of `events` that are about this step."""
        own = frozenset(self.history.step_events[step])
        return [(seq, event) for seq, event in self.events if seq in own]

    def unread(self, step: int) -> int:
        """How many events of this step are not among `events`."""
        known = sum(seq <= self.run.seq for seq in self.history.step_events[step])
        return known - len(self.events_of(step))

    def evidence(self, step: int) -> Evidence:
        """Where the present state of a step comes from."""
        known = [seq for seq, _, _ in self.history.changes[step] if seq <= self.run.seq]
        return Evidence(known[-1] if known else 0, self.run.plan.steps[step].id)


def run_facts(source: RunSource) -> list[Fact]:
    """The two lines that say which run it is, and how far it is."""
    run = source.run
    environment = name(EnvironmentKey.of(run.plan).name)
    driven = "" if run.status in RUN_ENDED else ", driven" if source.around.driven else ", no process drives it"
    simulated = ", simulated" if run.plan.simulation is not None else ""
    title = f"run {run.id} of {environment} {name(run.plan.version)}: {run.status}{driven}{simulated}, event {run.seq}"
    states = total(display_counts(run))
    rest = [f"{number} {state}" for state, number in states.items() if state is not DisplayState.SUCCEEDED]
    done = run.count(StepState.SUCCEEDED)
    steps = f"steps: {done} of {sum(states.values())} succeeded{''.join(f', {one}' for one in rest)}"
    return [Fact("run", title, (Evidence(run.seq),)), Fact("steps", steps, (Evidence(run.seq),))]


def question_facts(run: Run) -> list[Fact]:
    """What the run asks people now."""
    return [
        Fact("asks", f"asks: {name(one.step)}: {fenced(one.question)}", (Evidence(0, one.step),))
        for one in open_questions(run)
    ]


def doubt_facts(source: RunSource, steps: Iterable[str]) -> list[Fact]:
    """Steps whose outcome is not known."""
    index = source.run.index
    return [Fact("doubt", f"in doubt: {name(step)}", (source.evidence(index[step]),)) for step in steps]


def next_fact(command: str) -> Fact:
    """The line that says what to type now."""
    return Fact("next", f"next: {command}" if command.isascii() and command.isprintable() else fenced(command))


def ids(names: Iterable[str], most: int = 3) -> str:
    """`a b c +7`: names in few tokens."""
    every = list(names)
    more = f" +{len(every) - most}" if len(every) > most else ""
    return " ".join(name(one) for one in every[:most]) + more


def evidence_of(entries: Iterable[LogEntry]) -> Iterator[tuple[LogEntry, Evidence]]:
    """Lines of a step's log, each with its event and which line of that event's output it is."""
    seq = line = 0
    for one in entries:
        line = line + 1 if one.seq == seq else 1
        seq = one.seq
        yield one, Evidence(one.seq, one.step, line if one.type == "step_output" else 0)


class SliceQuery(Struct, frozen=True):
    """A question in the form `word word key=value`."""

    words: tuple[str, ...]
    values: dict[str, str]

    def number(self, key: str) -> int:
        """The value of this key, 0 if it is not given. Raises UsageError."""
        text = self.values.get(key, "0")
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            raise UsageError(f"{key}={text} is no number", hint=f"Write {key}=20.")
        return int(text)


def parsed(query: str, keys: Sequence[str]) -> SliceQuery:
    """Split a query; only these keys may be in it. Raises UsageError."""
    words: list[str] = []
    values: dict[str, str] = {}
    for part in query.split():
        key, equals, value = part.partition("=")
        if not equals:
            words.append(part)
        elif key in keys:
            values[key] = value
        else:
            known = ", ".join(keys) or "none"
            raise UsageError(f"{part}: there is no key {key!r} here", hint=f"The keys are: {known}.")
    return SliceQuery(tuple(words), values)
