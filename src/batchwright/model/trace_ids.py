"""Ids of traces and spans, made from what they are about: whoever projects a journal again makes the same ones."""

from __future__ import annotations

from hashlib import sha256


def trace_id(run: str) -> str:
    """The id of a run's trace: 32 hexadecimal digits."""
    return sha256(f"trace/{run}".encode()).hexdigest()[:32]


def span_id(run: str, *words: str | int) -> str:
    """The id of a span of a run: 16 hexadecimal digits. `words` say which one it is."""
    return sha256("/".join(["span", run, *map(str, words)]).encode()).hexdigest()[:16]


def step_span_id(run: str, step: str, *, undo: bool, again: int = 0) -> str:
    """The id of the span of a step, or of its undoing. `again` counts how often it was taken up after it had ended."""
    return span_id(run, step, "undo" if undo else "do", again)


def traceparent(run: str, step: str, *, undo: bool) -> str:
    """What a program of a step gets as TRACEPARENT (W3C Trace Context), so that its own spans hang below the step's."""
    return f"00-{trace_id(run)}-{step_span_id(run, step, undo=undo)}-01"
