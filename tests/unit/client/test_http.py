"""The client of a service: what it sends, what it makes of the answers, and what it does when a connection breaks."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from msgspec.structs import replace
from tests.support.fake_service import STREAM, Answer, FakeService, fake_service, message, problem
from tests.unit.views.story import T0, fleet

from batchwright.client import http, http_transport
from batchwright.client.http import HttpClient
from batchwright.errors import (
    BatchwrightError,
    LatestAmbiguous,
    NotAllowed,
    PlanRefused,
    RunNotFound,
    ServiceUnavailable,
)
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.environment import Environment
from batchwright.model.lifecycle import RunState
from batchwright.views.environment import environment_line, environment_view
from batchwright.views.events import event_record
from batchwright.views.run import run_view
from batchwright.views.steps import step_lines

RUNS = "/v1/workflows/batch"
STORY = fleet().begin().start("web/a", at=1.0).succeed("web/a", at=2.0)
RUN = STORY.run.id
VIEW = run_view(STORY.run, T0 + 5)
BROKEN = Answer(b"", type=STREAM, cut=True)


@pytest.fixture
def fake() -> Iterator[FakeService]:
    with fake_service() as service:
        yield service


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_transport, "PAUSE_SECONDS", 0.0)


def told(after: int = 0) -> list[dict[str, object]]:
    return [event_record(RUN, seq, event) for seq, event in enumerate(STORY.history, 1) if seq > after]


def test_a_view_comes_back_as_it_was(fake: FakeService) -> None:
    fake.on("GET", f"{RUNS}/latest", VIEW)
    assert HttpClient(f"{fake.url}/", "let-me-in").run("LATEST") == VIEW
    assert fake.asked[0].headers["authorization"] == "Bearer let-me-in"


def test_a_submission_that_broke_is_sent_again_under_the_same_key(fake: FakeService) -> None:
    fake.on("POST", f"{RUNS}/submit", BROKEN, Answer(msgspec.json.encode(VIEW), 202))
    assert HttpClient(fake.url).submit({"name": "shop"}, {"transient": 0.2, "instant": True}) == VIEW
    first, second = fake.asked
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.query == [("simulate", "true"), ("sim", "transient=0.2"), ("sim", "instant=true")]
    assert first.json() == {"batch_workflow": {"name": "shop"}}


def gateway(status: int) -> Answer:
    return Answer(b"<html><h1>Gateway Time-out</h1></html>", status, "text/html")


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_that_gives_up_says_nothing_about_a_submission(fake: FakeService, status: int) -> None:
    """F2: it began behind the proxy; sent again under its key it is the same run."""
    fake.on("POST", f"{RUNS}/submit", gateway(status), BROKEN, gateway(status), Answer(msgspec.json.encode(VIEW), 202))
    assert HttpClient(fake.url).submit({"name": "shop"}, None) == VIEW
    assert len({one.headers["idempotency-key"] for one in fake.asked}) == 1
    assert len(fake.asked) == 4


def test_what_is_never_answered_is_told_as_not_known(fake: FakeService) -> None:
    """F2: neither "no" nor "nobody is there"."""
    fake.on("POST", f"{RUNS}/submit", gateway(504))
    with pytest.raises(ServiceUnavailable, match="it may have carried out the request: a proxy answered 504"):
        HttpClient(fake.url).submit({"name": "shop"}, None)
    assert len(fake.asked) == http_transport.ANSWER_TRIES


def test_an_action_whose_answer_was_lost_is_asked_again(fake: FakeService) -> None:
    """F2: if it was heard the first time, the run shows it."""
    fake.on("GET", f"{RUNS}/{RUN}", VIEW)
    fake.on("POST", f"{RUNS}/{RUN}/cancel", BROKEN, VIEW)
    assert HttpClient(fake.url).act(RUN, "cancel", force=True).driver == fake.url
    assert [one.query for one in fake.asked] == [[], [("force", "true")], [("force", "true")]]

    cancelled = replace(VIEW, status=RunState.CANCELLED)
    refused = problem(409, "not-allowed", "it has ended")
    fake.on("GET", f"{RUNS}/{RUN}", VIEW, cancelled)
    fake.on("POST", f"{RUNS}/{RUN}/cancel", gateway(502), refused)
    assert HttpClient(fake.url).act(RUN, "cancel").driver == fake.url
    fake.on("POST", f"{RUNS}/{RUN}/pause", gateway(502), refused)
    with pytest.raises(NotAllowed):  # it is not paused: that was not heard
        HttpClient(fake.url).act(RUN, "pause")


def test_latest_is_one_run_however_often_it_is_asked(fake: FakeService) -> None:
    """F2: what `latest` names may change between two tries."""
    fake.on("GET", f"{RUNS}/latest", VIEW)
    fake.on("POST", f"{RUNS}/{RUN}/rollback", gateway(504), VIEW)
    fake.on("GET", "/v1/environments", {"items": []})
    assert HttpClient(fake.url).act("latest", "rollback").driver == fake.url
    assert [one.path for one in fake.asked] == ["/v1/environments", f"{RUNS}/latest", *[f"{RUNS}/{RUN}/rollback"] * 2]


def test_a_stream_is_as_patient_with_a_proxy_as_with_a_refused_connection(fake: FakeService) -> None:
    """F3: the service behind it restarts."""
    end = Answer(message("end", VIEW), type=STREAM)
    fake.on("GET", f"{RUNS}/{RUN}/progress", gateway(502), gateway(502), gateway(503), end)
    heard = list(HttpClient(fake.url).follow(RUN))
    assert [one.lost != "" for one in heard] == [True, False]
    assert heard[0].lost == "a proxy answered 502 Bad Gateway"


def test_a_look_is_patient_too(fake: FakeService) -> None:
    """F3: pages of events are fetched through the same proxy."""
    fake.on("GET", f"{RUNS}/{RUN}", gateway(502), BROKEN, VIEW)
    assert HttpClient(fake.url).run(RUN) == VIEW


def test_the_words_of_a_proxy_are_told(fake: FakeService) -> None:
    """F12: a refusal by another program is reported in its words, not as "no Batchwright service"."""
    body = b"<html><style>h1 { color: red }</style><h1>413 Request Entity Too Large</h1>\x1b[31m</html>"
    fake.on("POST", f"{RUNS}/submit", Answer(body, 413, "text/html"))
    with pytest.raises(ServiceUnavailable, match=r"answered 413, but is not a .*: 413 Request Entity Too Large"):
        HttpClient(fake.url).submit({}, None)


def test_a_refusal_is_the_error_it_names_with_all_its_findings(fake: FakeService) -> None:
    finding = Diagnostic("no-plan", "there is no plan p", where="web")
    fake.on("POST", f"{RUNS}/submit", problem(422, "plan-refused", "1 problem", "Correct it.", diagnostics=[finding]))
    with pytest.raises(PlanRefused, match="1 problem") as caught:
        HttpClient(fake.url).submit({}, None)
    assert (caught.value.diagnostics, caught.value.hint) == ((finding,), "Correct it.")
    fake.on("GET", f"{RUNS}/{RUN}", VIEW)
    fake.on("POST", f"{RUNS}/{RUN}/pause", problem(409, "not-allowed", "it is Completed"))
    with pytest.raises(NotAllowed):
        HttpClient(fake.url).act(RUN, "pause")


def test_a_code_of_a_newer_service_is_kept(fake: FakeService) -> None:
    fake.on("GET", f"{RUNS}/{RUN}", problem(418, "teapot", "short and stout"))
    with pytest.raises(BatchwrightError, match="short and stout") as caught:
        HttpClient(fake.url).run(RUN)
    assert caught.value.code == "teapot"


def test_a_word_that_can_be_no_id_and_no_name_asks_nothing(fake: FakeService) -> None:
    for word in ("", "../stats", "a b", "a/b/c", "-x", "unreal:a", "a" * 64):
        with pytest.raises(RunNotFound):
            HttpClient(fake.url).run(word)
    assert fake.asked == []


def test_a_name_that_cannot_stand_in_the_path_is_looked_up_first(fake: FakeService) -> None:
    """One with a slash, and one that is also a call: `GET /v1/workflows/batch/stats` is no run."""
    line = environment_line(Environment("real", "shop", last=RUN), STORY.run.summary("filesystem"), "", ())
    found = environment_view(line, (), ())
    for word, path, query in (
        ("simulated:shop/eu", "shop/eu", [("simulated", "true")]),
        ("real:shop/eu", "shop/eu", [("simulated", "false")]),
        ("stats", "stats", []),
    ):
        fake.asked.clear()
        fake.on("GET", f"/v1/environments/{path}", found)
        fake.on("GET", f"{RUNS}/{RUN}", VIEW)
        assert HttpClient(fake.url).run(word) == VIEW
        assert [(one.path, one.query) for one in fake.asked] == [
            (f"/v1/environments/{path}", query),
            (f"{RUNS}/{RUN}", []),
        ]


def test_the_newest_run_is_refused_for_what_destroys_where_there_are_several_environments(fake: FakeService) -> None:
    lines = [
        environment_line(Environment(space, "shop", last=RUN), STORY.run.summary("filesystem"), "", ())
        for space in ("real", "simulated")
    ]
    fake.on("GET", f"{RUNS}/latest", VIEW)
    fake.on("GET", "/v1/environments", {"items": lines[:1]}, {"items": lines})
    assert HttpClient(fake.url).run("latest", destroys=True) == VIEW
    with pytest.raises(LatestAmbiguous, match="real:shop, simulated:shop"):
        HttpClient(fake.url).run("latest", destroys=True)
    with pytest.raises(LatestAmbiguous):
        HttpClient(fake.url).act("latest", "rollback")
    with pytest.raises(LatestAmbiguous):
        HttpClient(fake.url).act("LATEST", "cancel", force=True)
    assert HttpClient(fake.url).run("latest") == VIEW


@pytest.mark.parametrize(
    "answer", [Answer(b"<html>", 200, "text/html"), Answer(b"<html>", 500, "text/html"), Answer(b"", 302), {"run": 1}]
)
def test_something_else_that_answers_is_told_apart(fake: FakeService, answer: object) -> None:
    fake.on("GET", f"{RUNS}/{RUN}", answer)
    with pytest.raises(ServiceUnavailable, match="is not a Batchwright service"):
        HttpClient(fake.url).run(RUN)


def test_nobody_there() -> None:
    with pytest.raises(ServiceUnavailable, match=r"http://127\.0\.0\.1:1: nothing listens there"):
        HttpClient("http://127.0.0.1:1").health()


def test_pages_are_followed(fake: FakeService) -> None:
    row = {**msgspec.to_builtins(STORY.run.summary("filesystem")), "driven": False}
    fake.on("GET", RUNS, {"items": [row], "next_cursor": "c"}, {"items": [row], "next_cursor": None})
    assert [one.driven for one in HttpClient(fake.url).runs(["Running", "Paused"], "shop")] == [False, False]
    assert [dict(one.query).get("cursor") for one in fake.asked] == [None, "c"]
    assert fake.asked[0].query[:3] == [("status", "Running"), ("status", "Paused"), ("name", "shop")]


def test_steps_are_folded_from_the_events(fake: FakeService) -> None:
    events = told()
    fake.on(
        "GET", f"{RUNS}/{RUN}/events", {"items": events[:2], "next_after": 2}, {"items": events[2:], "next_after": None}
    )
    lines = HttpClient(fake.url).steps(RUN)
    assert [(line.step, line.state) for line in lines] == [
        (line.step, line.state) for line in step_lines(STORY.run, T0)
    ]
    assert [dict(one.query)["after"] for one in fake.asked] == ["0", "2"]


def stream_parts() -> list[bytes]:
    return [message("event", record, seq) for seq, record in enumerate(told(1), 2)]


def test_a_stream_goes_on_where_it_broke_without_gap_or_repeat(fake: FakeService) -> None:
    parts, path = stream_parts(), f"{RUNS}/{RUN}/progress"
    cuts = [[part] for part in parts]
    fake.stream(path, [message("snapshot", VIEW, 1), b": alive\n\n"], *cuts, [message("end", VIEW)],
                cut_until=len(cuts) + 1)  # fmt: skip
    heard = list(HttpClient(fake.url).follow(RUN))
    assert {one.view.updated_at for one in heard} == {VIEW.updated_at}
    assert [entry for one in heard for entry in one.numbered] == list(enumerate(STORY.history, 1))[1:]
    assert [len(one.events) for one in heard] == [0, 0, *(1 for _ in parts), 0]  # the snapshot, a sign of life, the end
    assert not any(one.lost for one in heard)
    after = [one.headers.get("last-event-id") for one in fake.asked]
    assert after == [None, *map(str, range(1, len(parts) + 2))]


def test_an_event_that_is_cut_in_half_is_told_once(fake: FakeService) -> None:
    first, second, *_ = stream_parts()
    fake.stream(f"{RUNS}/{RUN}/progress", [first, second[:-9]], [second, message("end", VIEW)], cut_until=1)
    heard = [seq for one in HttpClient(fake.url).follow(RUN, 1) for seq, _ in one.numbered]
    assert heard == [2, 3]


def test_a_stream_that_never_comes_back_is_given_up(fake: FakeService) -> None:
    fake.on("GET", f"{RUNS}/{RUN}/progress", BROKEN)
    with pytest.raises(ServiceUnavailable, match="was lost"):
        list(HttpClient(fake.url).follow(RUN))
    assert len(fake.asked) == http.TRIES + 1


def test_a_stream_that_is_lost_is_told_once_and_not_for_a_single_break(fake: FakeService) -> None:
    fake.on("GET", f"{RUNS}/{RUN}/progress", BROKEN)
    stream = HttpClient(fake.url).follow(RUN)
    assert next(stream).lost
    assert len(fake.asked) == 2
    with pytest.raises(ServiceUnavailable, match="was lost"):
        next(stream)


def test_a_run_that_nobody_drives_is_not_followed(fake: FakeService) -> None:
    left = replace(VIEW, driven=False)
    fake.stream(f"{RUNS}/{RUN}/progress", [message("snapshot", left, 1), b": alive\n\n"])
    assert [one.view for one in HttpClient(fake.url).follow(RUN)] == [left]
    assert len(fake.asked) == 1


def test_a_stream_that_is_refused_says_why(fake: FakeService) -> None:
    fake.on("GET", f"{RUNS}/{RUN}/progress", problem(404, "run-not-found", "gone"))
    with pytest.raises(RunNotFound, match="gone"):
        list(HttpClient(fake.url).follow(RUN))
