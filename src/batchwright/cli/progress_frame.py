"""Draws a live run as lines of text that never exceed the given height, however many steps there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from batchwright.cli.text_layout import INDENT, LABEL, clip, cut, labelled, pad
from batchwright.model.lifecycle import RUN_ENDED, RunState
from batchwright.printable import shortened
from batchwright.views.steps import ROLLBACK
from batchwright.views.text_format import counted, duration, one_line, some
from batchwright.views.wait_reasons import WaitCode

if TYPE_CHECKING:
    from batchwright.views.run import OperationProgress, ProviderProgress, RunView

STATUS_STYLES = {
    RunState.COMPLETED: "green",
    RunState.ROLLED_BACK: "green",
    RunState.FAILED: "red",
    RunState.ROLLBACK_INCOMPLETE: "red",
    RunState.CANCELLED: "yellow",
    RunState.PAUSED: "yellow",
}
STATE_STYLES = {
    **dict.fromkeys(("done", "undone"), "green"),
    **dict.fromkeys(("failed", "not undone"), "red"),
    **dict.fromkeys(("skipped", "partly skipped", "degraded"), "yellow"),
    **dict.fromkeys(("running", "undoing", "retrying", "retrying undo"), "cyan"),
}
BACKWARD_STATES = frozenset({"undoing", "undone", "not undone", "nothing to undo", "to undo", "retrying undo"})
OPERATIONS_MAX, PROVIDERS_MAX, RUNNING_MAX, WAITING_MAX, FAILED_MAX, ASKS_MAX = 6, 3, 4, 6, 3, 3
NAME_MAX = 26


def frame(view: RunView, width: int, height: int = 20) -> list[Text]:
    """The frame of a live run, cut to `width` and `height`. The most important blocks come first."""
    lines = [header(view, width), _progress(view, width)]
    lines += operation_lines(view.operations, OPERATIONS_MAX, 12 if width >= 100 else 8)
    lines += _provider_lines(view.providers, width)
    lines += _running_lines(view, width)
    asks = [cut(f"{one.step}: {one_line(one.question)}", width - INDENT) for one in view.asks[:ASKS_MAX]]
    lines += labelled("asks", asks, "yellow")
    failed = labelled("failed", [shortened(text, width - INDENT) for text in failed_texts(view, FAILED_MAX)], "red")
    troubles = trouble_lines(view)
    room = height - len(lines) - len(failed) - len(troubles)
    lines += [*waiting_lines(view, width, max(2, min(WAITING_MAX, room))), *failed, *troubles]
    return [_cut(line, width) for line in lines[: max(2, height)]]


def status_words(status: RunState, *, degraded: bool) -> tuple[str, str]:
    """A run's status and its style. A Completed run is degraded if some of its steps did not succeed."""
    if degraded and status is RunState.COMPLETED:
        return f"{status.value}, degraded", "yellow"
    return status.value, STATUS_STYLES.get(status, "cyan")


def header(view: RunView, width: int) -> Text:
    """The workflow, the run id, its status and its progress."""
    times = duration(view.elapsed)
    if view.eta is not None:
        times += f", about {duration(view.eta)} left" if view.eta >= 0.05 else ", almost done"
    status, style = status_words(view.status, degraded=bool(view.degraded))
    status = "Cancelling" if view.cancelling and view.status is RunState.RUNNING else status
    if not view.driven and view.status not in RUN_ENDED:
        status += " (no process drives it)"
    name = clip(
        f"{view.environment} {view.version}",
        max(10, width - len(view.run) - len(status) - len(times) - 12),
    )
    simulated = " (simulated)" if view.simulated and width >= 100 else ""
    return Text.assemble((name, "bold"), f"{simulated}  {view.run}  ", (status, style), f"  {times}")


def _progress(view: RunView, width: int) -> Text:
    words = Text(f" {progress_words(view)}")
    for fact, style in troubles(view):
        words.append(f", {fact}", style)
    return bar(view.done, view.total, max(8, min(30, width - cell_len(words.plain)))).append_text(words)


def troubles(view: RunView) -> list[tuple[str, str]]:
    """What went wrong, as counts, each with a style."""
    facts = [
        (len(view.failed) + view.failed_more, "not undone" if _backward(view) else "failed", "red"),
        (sum(one.steps for one in view.skipped), "skipped", "yellow"),
    ]
    told = [(f"{number:,} {word}", style) for number, word, style in facts if number]
    if view.retries:
        told.append((counted(view.retries, "retry"), "yellow"))
    if view.throttles:
        told.append((f"throttled {view.throttles:,} x", "yellow"))
    return told


def _backward(view: RunView) -> bool:
    return view.status in ROLLBACK


def progress_words(view: RunView) -> str:
    """`5 of 8 steps done`, or `undone` in a rollback."""
    return f"{view.done:,} of {counted(view.total, 'step')} {'undone' if _backward(view) else 'done'}"


def bar(done: int, total: int, width: int) -> Text:
    """A progress bar. It is full only when everything is done."""
    full = width if total and done >= total else (done * width // total if total else 0)
    return Text.assemble(("━" * full, "green"), ("─" * (width - full), "bright_black"))


def operation_lines(operations: Sequence[OperationProgress], most: int, bars: int = 12) -> list[Text]:
    """One line per operation. If there are too many, the active and failed ones are shown."""
    shown = _chosen(operations, most)
    names = min(NAME_MAX, max((cell_len(op.id) for op in shown), default=0))
    places = min(14, max((cell_len(op.provider) for op in shown), default=0))
    digits = max((len(f"{op.total:,}") for op in shown), default=1)
    lines = []
    for op in shown:
        line = Text("  ")
        line.append(pad(op.id, names) + "  " + pad(op.provider, places) + "  ")
        line.append_text(bar(op.done, op.total, bars))
        line.append(f"  {op.done:>{digits},} of {op.total:>{digits},}  ")
        line.append(_state_words(op), STATE_STYLES.get(op.state, ""))
        if op.waves and op.wave < op.waves and op.state not in BACKWARD_STATES:
            line.append(f"  wave {op.wave:,} of {op.waves:,}")
        if op.despite:
            line.append(f"  despite {', '.join(op.despite)}", "yellow")
        lines.append(line)
    if len(operations) > len(shown):
        lines.append(Text(f"  and {_rest(operations, shown)}", "bright_black"))
    return lines


def _chosen(operations: Sequence[OperationProgress], most: int) -> list[OperationProgress]:
    if len(operations) <= most:
        return list(operations)
    rank = {"failed": 0, "not undone": 0, "running": 1, "undoing": 1, "retrying": 1, "waiting": 2, "not finished": 2}
    order = sorted(range(len(operations)), key=lambda i: (rank.get(operations[i].state, 3), i))
    return [operations[i] for i in sorted(order[: most - 1])]


def _rest(operations: Sequence[OperationProgress], shown: Iterable[OperationProgress]) -> str:
    seen = {op.id for op in shown}
    tally: dict[str, int] = {}
    for op in operations:
        if op.id not in seen:
            tally[op.state] = tally.get(op.state, 0) + 1
    words = ", ".join(f"{count:,} {state}" for state, count in tally.items())
    return f"{counted(sum(tally.values()), 'more operation')}: {words}"


def _state_words(op: OperationProgress) -> str:
    """The state, with counts where they say more than the state alone."""
    counts = op.counts
    flying = counts.get("started", 0) + counts.get("created", 0) + counts.get("undoing", 0)
    parts = [f"{flying:,} in flight"] if flying else []
    forward = (("failed", "failed"), ("skipped", "skipped"), ("not_wanted", "not wanted"), ("retrying", "to retry"))
    backward = (("undo_failed", "not undone"), ("undo_retrying", "to retry"))
    for state, word in backward if op.state in BACKWARD_STATES else forward:
        if counts.get(state):
            parts.append(f"{counts[state]:,} {word}")
    return ", ".join([*(["degraded"] if op.state == "degraded" else []), *parts]) or op.state


def _provider_lines(providers: Sequence[ProviderProgress], width: int) -> list[Text]:
    """One line per provider, only where it adds something to the operations."""
    busy = [p for p in providers if p.retries or p.throttles or p.limit or p.failed]
    if not busy and len(providers) < 2:
        return []
    shown = sorted(providers, key=lambda p: (p not in busy, p.name))[:PROVIDERS_MAX]
    texts = []
    for p in shown:
        words = f"{p.name} {p.done:,} of {p.total:,}"
        words += "".join(
            f", {number:,} {word}"
            for number, word in ((p.failed, "failed"), (p.retries, "retried"), (p.throttles, "throttled"))
            if number
        )
        texts.append(words + (f" ({p.limit.removeprefix('throttled, ')})" if p.limit else ""))
    if len(providers) > len(shown):
        texts[-1] += f", and {counted(len(providers) - len(shown), 'more provider')}"
    if sum(map(len, texts)) + 2 * len(texts) + LABEL < width:
        texts = ["; ".join(texts)]
    return labelled("providers", texts)


def _running_lines(view: RunView, width: int) -> list[Text]:
    more = len(view.running) - RUNNING_MAX + view.running_more
    shown = view.running[: RUNNING_MAX - 1] if more > 0 else view.running
    texts = []
    for line in shown:
        attempt = f", attempt {line.attempt}" if line.attempt > 1 else ""
        since = f" {duration(line.since)}" if line.since is not None else ""
        tail = f"  {line.doing}{since}{attempt}"
        text = clip(line.step, max(12, width - INDENT - len(tail))) + tail
        texts.append(cut(f"{text}: {line.said}", width - INDENT) if line.said else text)
    if more > 0:
        texts.append(f"and {len(view.running) - len(shown) + view.running_more:,} more")
    return labelled("running", texts)


def waiting_lines(view: RunView, width: int, most: int) -> list[Text]:
    """How many steps wait, grouped by reason."""
    rows = sorted(view.waiting, key=lambda w: (w.code is not WaitCode.RETRY, -w.steps))
    shown = rows if len(rows) <= most else rows[: most - 1]
    digits = max((len(f"{w.steps:,}") for w in shown), default=1)
    texts = [f"{w.steps:>{digits},}  {w.reason}" for w in shown]
    if len(rows) > len(shown):
        rest = sum(w.steps for w in rows[len(shown) :])
        texts.append(f"{rest:,} more for {counted(len(rows) - len(shown), 'other reason')}")
    return labelled("waiting", [cut(text, width - INDENT) for text in texts])


def failed_texts(view: RunView, most: int) -> list[str]:
    """The failed steps with the provider's message; steps with the same message are grouped."""
    alike: dict[str, list[str]] = {}
    for one in view.failed:
        alike.setdefault(f"{one.kind}: {one_line(one.message)}", []).append(one.step)
    texts = [f"{some(steps, 1)}: {words}" for words, steps in alike.items()]
    shown = texts if len(texts) <= most else texts[: most - 1]
    told = sum(len(steps) for steps in list(alike.values())[: len(shown)])
    left = len(view.failed) + view.failed_more - told
    return shown + ([f"{left:,} more: batchwright status {view.run} --steps"] if left else [])


def trouble_lines(view: RunView) -> list[Text]:
    """Problems beside failed steps: exhausted lanes, steps in doubt, restarts, orphans."""
    lines = [
        Text(f"  nothing more can be created in {lane}: {one_line(message)}", "red")
        for lane, message in view.stopped_providers.items()
    ]
    doubts = len(view.doubts) + view.doubts_more
    facts = [
        f"{counted(doubts, 'step')} in doubt" if doubts else "",
        counted(view.restarts, "restart") if view.restarts else "",
        f"{counted(view.strays_found, 'orphan')} found and removed" if view.strays_found else "",
    ]
    told = ", ".join(fact for fact in facts if fact)
    return [*lines, *([Text(f"  {told}", "yellow")] if told else [])]


def _cut(line: Text, width: int) -> Text:
    line.truncate(width, overflow="ellipsis")
    return line
