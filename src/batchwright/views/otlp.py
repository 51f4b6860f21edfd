"""Spans in OpenTelemetry's protocol, OTLP 1.x, in its JSON form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from batchwright.model.scalar import Scalar
from batchwright.printable import printable
from batchwright.views.trace import Span, SpanEvent

INTERNAL = 1  # SPAN_KIND_INTERNAL
OK, ERROR = 1, 2  # STATUS_CODE_OK, STATUS_CODE_ERROR
VALUE_MOST = 1_024  # characters of a text value; collectors refuse or cut longer ones


def export_request(spans: Iterable[Span], version: str) -> dict[str, Any]:
    """The body of one export: POST it to a collector's /v1/traces, or write it as a line of a file."""
    resource = {"service.name": "batchwright", "service.version": version}
    scope = {"name": "batchwright", "version": version}
    rows = [_span(span) for span in spans]
    return {
        "resourceSpans": [
            {"resource": {"attributes": _attributes(resource)}, "scopeSpans": [{"scope": scope, "spans": rows}]}
        ]
    }


def _span(span: Span) -> dict[str, Any]:
    row: dict[str, Any] = {
        "traceId": span.trace,
        "spanId": span.id,
        "name": printable(span.name)[:VALUE_MOST],
        "kind": INTERNAL,
        "startTimeUnixNano": _nanoseconds(span.begin),
        "endTimeUnixNano": _nanoseconds(span.end),
        "attributes": _attributes(span.attributes),
    }
    if span.parent:
        row["parentSpanId"] = span.parent
    if span.events:
        row["events"] = [_event(event) for event in span.events]
    if span.ok is not None:
        row["status"] = {"code": OK} if span.ok else {"code": ERROR, "message": printable(span.error)[:VALUE_MOST]}
    return row


def _event(event: SpanEvent) -> dict[str, Any]:
    return {
        "name": event.name,
        "timeUnixNano": _nanoseconds(event.at),
        "attributes": _attributes(event.attributes),
    }


def _nanoseconds(at: float) -> str:
    """Seconds since the epoch in nanoseconds, as text: 64-bit integers are texts in this JSON."""
    return str(round(at * 1e6) * 1_000)


def _attributes(values: Mapping[str, Scalar]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: Scalar) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": printable(value)[:VALUE_MOST]}
