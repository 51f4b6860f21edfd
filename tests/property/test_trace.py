"""What holds of every trace: no span is missing, none is there twice, and each hangs below another."""

from __future__ import annotations

import json

from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from batchwright.model import events as ev
from batchwright.model.trace_ids import step_span_id
from batchwright.views.otlp import export_request
from batchwright.views.trace import Span, spans_of
from tests.property.histories import journals
from tests.support.examples import share

ANY = settings(max_examples=share(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
Journal = list[ev.AnyEvent]


def told(journal: Journal, after: int = 0) -> list[tuple[int, Span]]:
    return list(spans_of(enumerate(journal, 1), after))


@ANY
@given(journals())
def test_each_call_and_each_phase_has_one_span(journal: Journal) -> None:
    spans = [span for _, span in told(journal)]
    ids = [span.id for span in spans]
    assert len(ids) == len(set(ids))
    calls = [span for span in spans if "batchwright.attempt" in span.attributes]
    sent = sum(isinstance(event, ev.StepStarted | ev.UndoStarted) for event in journal)
    ended = isinstance(journal[-1], ev.RunEnded | ev.RollbackEnded)
    # a call that a process left and another one sent again is one call with another token: both are in the journal
    assert len(calls) == sent if ended else len(calls) <= sent
    phases = 1 + sum(isinstance(event, ev.RunReopened | ev.RollbackStarted) for event in journal)
    assert sum("cicd.pipeline.run.id" in span.attributes for span in spans) == phases - (not ended)


@ANY
@given(journals())
def test_spans_hang_together_and_end_after_they_begin(journal: Journal) -> None:
    spans = {span.id: span for _, span in told(journal)}
    ended = isinstance(journal[-1], ev.RunEnded | ev.RollbackEnded)
    for span in spans.values():
        assert span.begin <= span.end
        assert all(span.begin <= event.at <= span.end for event in span.events)
        if ended and span.parent:
            assert span.parent in spans
            assert spans[span.parent].begin <= span.begin
    first = journal[0]
    assert isinstance(first, ev.RunCreated)
    for event in journal:
        if isinstance(event, ev.StepStarted) and ended:  # what its program was told as its parent
            assert step_span_id(first.run, event.step, undo=False) in spans


@ANY
@given(journals(), st.data())
def test_going_on_from_a_cursor_misses_nothing_and_repeats_nothing(journal: Journal, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(journal)))
    whole = told(journal)
    assert told(journal[:cut]) + told(journal, cut) == whole


@ANY
@given(journals())
def test_a_collector_reads_what_is_meant(journal: Journal) -> None:
    spans = [span for _, span in told(journal)]
    sent = json.dumps(export_request(spans, "1.0"))
    # OTLP writes ids in hexadecimal, protobuf's own JSON has base64 there: only their presence is compared
    got = json_format.Parse(sent, ExportTraceServiceRequest(), ignore_unknown_fields=False)
    (resource,) = got.resource_spans
    (scope,) = resource.scope_spans
    assert [span.name for span in scope.spans] == [span.name for span in spans]
    for read, span in zip(scope.spans, spans, strict=True):
        assert abs(read.start_time_unix_nano / 1e9 - span.begin) < 1e-3
        assert abs(read.end_time_unix_nano / 1e9 - span.end) < 1e-3
        assert read.status.code == {True: 1, False: 2, None: 0}[span.ok]
        assert {one.key for one in read.attributes} == set(span.attributes)
        assert len(read.events) == len(span.events)
        assert bool(read.parent_span_id) is bool(span.parent)
