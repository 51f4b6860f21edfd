"""The Nushell commands where answers get lost, where somebody else answers, and where a proxy stands between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from tests.support.fake_service import STREAM, Answer, FakeService, fake_service, message, problem
from tests.support.nushell import Nu
from tests.unit.views.story import T0, fleet

from batchwright.model.lifecycle import RunState
from batchwright.views.run import run_view

RUNS = "/v1/workflows/batch"
EXAMPLE = "workflows/example_batch.ncl"
STORY = fleet().begin().start("web/a", at=1.0).succeed("web/a", at=2.0)
OWN = f"{RUNS}/{STORY.run.id}"
VIEW = run_view(STORY.run, T0 + 5)
BROKEN = Answer(b"", type=STREAM, cut=True)
TRIES = 30


@pytest.fixture
def service() -> Iterator[FakeService]:
    with fake_service() as fake:
        yield fake


@pytest.fixture
def nu(service: FakeService, tmp_path: Path) -> Nu:
    return Nu(tmp_path, service.url).hurried()


def gateway(status: int) -> Answer:
    return Answer(b"<html><h1>Gateway Time-out</h1></html>", status, "text/html")


def accepted() -> Answer:
    return Answer(msgspec.json.encode(VIEW), 202)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_that_gives_up_says_nothing_about_a_submission(service: FakeService, nu: Nu, status: int) -> None:
    """F2: it began behind the proxy; sent again under its key it is the same run."""
    service.on("POST", f"{RUNS}/submit", gateway(status), BROKEN, gateway(status), accepted())
    assert nu.value(f"batch submit {EXAMPLE}")["id"] == STORY.run.id
    assert len({one.headers["idempotency-key"] for one in service.asked}) == 1
    assert len(service.asked) == 4


def test_what_is_never_answered_is_told_as_not_known(service: FakeService, nu: Nu) -> None:
    """F2: neither "no" nor "nobody is there"."""
    service.on("POST", f"{RUNS}/submit", gateway(504))
    said = nu.refused(f"batch submit {EXAMPLE}")
    assert f"did not answer {TRIES} attempts; it may have carried out the request: a proxy answered" in said
    assert "answered 504 [service-unavailable]" in said
    assert "Check before you try again: batch list" in said
    assert len(service.asked) == TRIES
    service.on("POST", f"{OWN}/pause", BROKEN)
    assert "it may have carried out the request" in nu.refused(f"batch pause {STORY.run.id}")


@pytest.mark.parametrize(
    ("verb", "state"),
    [("pause", RunState.PAUSED), ("resume", RunState.RUNNING), ("cancel", RunState.CANCELLED),
     ("rollback", RunState.ROLLED_BACK)],
)  # fmt: skip
def test_an_action_whose_answer_was_lost_is_asked_again(
    service: FakeService, nu: Nu, verb: str, state: RunState
) -> None:
    """F2: if it was heard the first time, the run shows it; if it was not, or nothing was lost, it is refused."""
    refused = problem(409, "not-allowed", "it is not how it would have to be")
    service.on("POST", f"{OWN}/{verb}", gateway(502), refused)
    service.on("GET", OWN, replace(VIEW, status=state))
    assert nu.value(f"batch {verb} {STORY.run.id}")["status"] == state
    assert "[not-allowed]" in nu.refused(f"batch {verb} {STORY.run.id}")
    service.on("POST", f"{OWN}/{verb}", gateway(502), refused)
    service.on("GET", OWN, replace(VIEW, status=RunState.PENDING))
    assert "[not-allowed]" in nu.refused(f"batch {verb} {STORY.run.id}")


def test_latest_is_one_run_however_often_it_is_asked(service: FakeService, nu: Nu) -> None:
    """F2: what `latest` names may change between two tries."""
    service.on("GET", "/v1/environments", {"items": []})
    service.on("GET", f"{RUNS}/latest", VIEW)
    service.on("POST", f"{OWN}/rollback", gateway(504), accepted())
    assert nu.value("batch rollback latest")["id"] == STORY.run.id
    assert [one.path for one in service.asked] == ["/v1/environments", f"{RUNS}/latest", *[f"{OWN}/rollback"] * 2]


def test_a_look_is_patient_too(service: FakeService, nu: Nu) -> None:
    """F3: of a service behind a proxy that is started again."""
    service.on("GET", OWN, gateway(502), BROKEN, VIEW)
    assert nu.value(f"batch status {STORY.run.id}")["id"] == STORY.run.id


def test_a_monitor_is_as_patient_with_a_proxy_as_with_a_refused_connection(service: FakeService, nu: Nu) -> None:
    """F3: the service behind it restarts."""
    service.on("GET", OWN, VIEW)
    end = Answer(message("end", {**msgspec.to_builtins(VIEW), "status": "Completed"}), type=STREAM)
    service.on("GET", f"{OWN}/progress", *[gateway(502)] * 6, end)
    done = nu(f"batch monitor {STORY.run.id} | get status")
    assert (done.returncode, done.stdout.strip()) == (0, "Completed")
    why = f"the connection to {service.url} is lost (a proxy answered 502); trying again"
    assert done.stderr.splitlines() == [why]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (problem(401, "unauthorized", "the token is not known"), "the token is not known [unauthorized]"),
        (problem(403, "forbidden", "it may not look"), "it may not look [forbidden]"),
        (problem(404, "run-not-found", "no such run"), "no such run [run-not-found]"),
        (Answer(b"<b>Go away</b>", 403, "text/html"), "answered 403, but is not a Batchwright service: Go away"),
    ],
)
def test_a_refusal_ends_a_monitor(service: FakeService, nu: Nu, answer: Answer, said: str) -> None:
    """F5: a token that is refused is no lost connection."""
    service.on("GET", OWN, VIEW)
    service.on("GET", f"{OWN}/progress", answer)
    heard = nu.refused(f"batch monitor {STORY.run.id}")
    assert said in heard
    assert "trying again" not in heard
    assert len(service.requests("GET", f"{OWN}/progress")) == 3


def test_a_problem_within_a_stream_ends_a_monitor(service: FakeService, nu: Nu) -> None:
    """F5."""
    service.on("GET", OWN, VIEW)
    told = problem(503, "store-unavailable", "the disk is gone").body
    service.stream(f"{OWN}/progress", [message("problem", msgspec.json.decode(told))])
    assert "the disk is gone [store-unavailable]" in nu.refused(f"batch monitor {STORY.run.id}")


@pytest.mark.parametrize("around", ["{}\n", " {}", "\t{}\r\n\n"])
def test_blanks_around_settings_are_dropped(service: FakeService, tmp_path: Path, around: str) -> None:
    """F6."""
    service.on("GET", RUNS, {"items": [], "next_cursor": None})
    nu = Nu(tmp_path, around.format(f"{service.url}/"), BATCHWRIGHT_TOKEN=around.format("let-me-in"))
    assert nu.value("batch list") == []
    assert service.asked[0].headers["authorization"] == "Bearer let-me-in"


@pytest.mark.parametrize("token", ["s3cr et", "s3cr\net", "s3cr\x1bet", "s3crät"])
def test_what_no_header_carries_is_refused_by_its_name(service: FakeService, tmp_path: Path, token: str) -> None:
    """F6: and never shown."""
    said = Nu(tmp_path, service.url, BATCHWRIGHT_TOKEN=token).refused("batch list")
    assert "BATCHWRIGHT_TOKEN contains whitespace, a control character or a non-ASCII character" in said
    assert "s3cr" not in said
    assert service.asked == []


@pytest.mark.parametrize(
    "url", ["localhost:9090", "ftp://localhost", "http://", "http://u:s3cr@h:1", "http://h:99999", "http://h?q=1", "h"]
)
def test_an_address_that_is_none_is_refused_by_the_name_of_its_variable(tmp_path: Path, url: str) -> None:
    """F6."""
    said = Nu(tmp_path, url).refused("batch status latest")
    assert "BATCHWRIGHT_URL is not the address of a service" in said
    assert "Write it as http://HOST:PORT." in said
    assert "s3cr" not in said


@pytest.mark.parametrize("status", [403, 407, 413, 200, 302])
def test_the_words_of_a_proxy_are_told(service: FakeService, nu: Nu, status: int) -> None:
    """F12: a refusal by another program is reported in its words, without markup, bounded, and fit for a terminal."""
    page = f"<html><style>h1 {{ color: red }}</style><h1>No\x1b[31m way</h1>\x07{'x' * 9000}</html>".encode()
    service.on("POST", f"{RUNS}/submit", Answer(page, status, "text/html"))
    done = nu(f"batch submit {EXAMPLE}")
    assert (done.returncode, len(service.asked)) == (1, 1)
    assert not set(done.stderr) & {"\x1b", "\x07"}
    said = " ".join(done.stderr.replace("\n  |", " ").split())
    assert f"answered {status}, but is not a Batchwright service: No way" in said
    assert "color" not in said
    assert said.count("x" * 10) < 30


def test_the_password_of_a_proxy_is_not_told(tmp_path: Path) -> None:
    """F12."""
    said = Nu(tmp_path, "http://127.0.0.1:1", http_proxy="http://user:s3cr@127.0.0.1:2").refused("batch list")
    assert "A proxy is set (http://127.0.0.1:2)" in said
    assert "s3cr" not in said


def test_what_a_service_says_moves_no_cursor(service: FakeService, nu: Nu) -> None:
    service.on("GET", OWN, problem(404, "run-not-found", "no\x1b[2J run", "loo\x9b2Jk"))
    done = nu(f"batch status {STORY.run.id}")
    assert "no run [run-not-found]" in done.stderr
    assert not set(done.stderr) & {"\x1b", "\x9b"}
