"""The page without JavaScript: the list of runs, and the steps of one, as plain tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape

from batchwright.errors import BatchwrightError
from batchwright.service.run_supervisor import RunSupervisor
from batchwright.views.steps import step_line
from batchwright.views.text_format import counted, duration

RUNS_MAX, STEPS_MAX = 100, 500  # rows of one page
CLOSED = (
    "<p>This service asks for a token, and signing in needs JavaScript. The command line shows the same: "
    "<code>batchwright status RUN</code>.</p>"
)
FRAME = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} · Batchwright</title>'
    '<meta name="viewport" content="width=device-width,initial-scale=1">'
    '<link rel="icon" href="{{static}}icons/idle.svg">'
    '<link rel="stylesheet" href="{{static}}page.css"></head><body><main class="page"><h1>{title}</h1>{body}'
    "</main></body></html>"
)


class PlainTables:
    """HTML documents without scripts; `{root}` in them stands for the way to the root of the service."""

    def __init__(self, supervisor: RunSupervisor) -> None:
        self._supervisor = supervisor

    async def page(self, query: Mapping[str, str], *, allowed: bool) -> str:
        """The steps of `run` after the step `after`, or all runs. Raises RunNotFound, RunAmbiguous."""
        if not allowed:
            return _document("Sign in", CLOSED)
        return await (self._steps(query["run"], query.get("after", "")) if query.get("run") else self._runs())

    def refusal(self, error: BatchwrightError) -> str:
        """What was wrong with a request."""
        return _document("Not found", f'<p>{escape(error.message)}</p><p><a href="{{root}}ui/plain">All runs</a></p>')

    async def _runs(self) -> str:
        rows = (await self._supervisor.summaries())[:RUNS_MAX]
        table = _table(
            ("Run", "Environment", "State", "Steps done", "By", "Began (UTC)"),
            (
                (
                    f'<a href="{{root}}ui/plain?run={escape(row.run)}">{escape(row.run)}</a>',
                    escape(row.environment_key.name),
                    escape(row.status),
                    f"{row.succeeded} of {row.steps}",
                    escape(row.by),
                    _when(row.created_at),
                )
                for row in rows
            ),
        )
        return _document(
            "Runs", f"<p>{counted(len(rows), 'run')}, newest first. Load the page again for what is new.</p>{table}"
        )

    async def _steps(self, word: str, after: str) -> str:
        feed = await self._supervisor.feeds.find(word)
        run, view, now = feed.run, feed.view(), self._supervisor.clock.now()
        begin = int(after) if after.isdecimal() and len(after) < 9 else 0
        end = min(begin + STEPS_MAX, len(run.records))
        lines = (step_line(run, i, now) for i in range(begin, end))
        table = _table(
            ("State", "Step", "Says", "Took"),
            (
                (
                    escape(one.state),
                    escape(one.step),
                    escape(one.message or (one.doing if one.doing != one.state else "")),
                    duration(one.took) if one.took is not None else "",
                )
                for one in lines
            ),
        )
        head = f"<p>{escape(view.status)}: {view.done} of {view.total} steps done. {escape(view.next)}</p>"
        here = f"{{root}}ui/plain?run={escape(run.id)}"
        more = f'<p><a href="{here}&amp;after={end}">Next steps</a></p>' if end < len(run.records) else ""
        back = '<p><a href="{root}ui/plain">All runs</a></p>'
        return _document(f"{view.environment}, run {run.id}", head + table + more + back)


def _document(title: str, body: str) -> str:
    return FRAME.format(title=escape(title), body=body)


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="tbw"><table class="tb"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
