"""core/nulib/workflows/batch.nu in the real nu, against a service that says what a test tells it to."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.support.fake_service import Answer, FakeService, fake_service, message, problem
from tests.support.nushell import ROOT, Nu
from tests.unit.plan.test_install_table import flow, install, planned, server
from tests.unit.views.story import BAD, T0, Story, fleet

from batchwright.app.planned import PlanAnswer
from batchwright.model.lifecycle import RunState
from batchwright.views.events import event_line, event_record
from batchwright.views.plan import plan_view
from batchwright.views.run import run_view
from batchwright.views.stats_over_runs import stats_view

RUNS = "/v1/workflows/batch"
OWN = f"{RUNS}/abcdefghijkl"
EXAMPLE = "workflows/example_batch.ncl"


@pytest.fixture
def service() -> Iterator[FakeService]:
    with fake_service() as fake:
        yield fake


@pytest.fixture
def nu(service: FakeService, tmp_path: Path) -> Nu:
    return Nu(tmp_path, service.url)


def with_command(service: FakeService, folder: Path) -> Nu:
    """A nu that finds the `batchwright` command."""
    command = folder / "bin" / "batchwright"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m batchwright "$@"\n')
    command.chmod(0o755)
    return Nu(folder, service.url, [command.parent], PYTHONPATH=str(ROOT / "src"))


def halfway() -> Story:
    return fleet().begin().start("web/a", at=1.0).succeed("web/a", at=2.0).start("web/b", at=2.0)


def failed() -> Story:
    return halfway().fail("web/b", at=3.0).end(RunState.FAILED, 4.0, "1 failed, 0 skipped")


def completed() -> Story:
    story = halfway().succeed("web/b", at=3.0)
    return story.end(RunState.COMPLETED, 4.0)


def events(story: Story, after: int) -> list[bytes]:
    told = enumerate(story.history, 1)
    return [
        message("event", {**event_record(story.run.id, seq, event), "line": event_line(event)}, seq)
        for seq, event in told
        if seq > after
    ]


# -- what is looked at ----------------------------------------------------------------------------------------------


def test_a_list_pipes(service: FakeService, nu: Nu) -> None:
    rows = [halfway().run.summary("filesystem"), completed().run.summary("filesystem")]
    service.on("GET", RUNS, {"items": rows, "next_cursor": None})
    assert nu.value("batch list --status running | where status == Running | select id done steps") == [
        {"id": "abcdefghijkl", "done": 1, "steps": 7}
    ]
    assert service.asked[0].query == [("status", "Running"), ("limit", "50")]


def test_a_list_follows_the_pages_up_to_its_limit(service: FakeService, nu: Nu) -> None:
    row = halfway().run.summary("filesystem")
    pages = [{"items": [row] * count, "next_cursor": cursor} for count, cursor in ((200, "c1"), (50, "c2"))]
    service.on("GET", RUNS, *pages)
    assert nu.value("batch list --limit 250 --since 24hr --name shop | length") == 250
    asked = [dict(one.query) for one in service.asked]
    assert asked == [
        {"name": "shop", "since": "86400s", "limit": "200"},
        {"name": "shop", "since": "86400s", "limit": "50", "cursor": "c1"},
    ]


def test_a_status_is_for_people_and_for_pipes(service: FakeService, nu: Nu) -> None:
    service.on("GET", f"{RUNS}/latest", run_view(halfway().run, T0 + 5))
    shown = nu("batch status latest").stdout
    assert "1 of 7 steps done" in shown
    assert "watch it with: batch monitor abcdefghijkl" in shown
    value = nu.value("batch status latest")
    assert [op["state"] for op in value["operations"]] == ["running", "waiting", "waiting"]
    assert value["servers"][0]["address"] == "10.0.0.1"


def test_stats_are_numbers_with_a_table_of_providers(service: FakeService, nu: Nu) -> None:
    service.on("GET", f"{RUNS}/stats", stats_view([completed().run.summary("filesystem")]))
    value = nu.value("batch stats --since 7day")
    assert (value["runs"], value["Completed"], value["success_rate"]) == (1, 1, 1.0)
    assert [row["name"] for row in value["providers"]] == ["aws", "upcloud"]
    assert service.asked[0].query == [("since", "604800s")]


def test_the_token_is_sent_where_there_is_one(service: FakeService, tmp_path: Path) -> None:
    service.on("GET", RUNS, {"items": [], "next_cursor": None})
    Nu(tmp_path, service.url).value("batch list")
    Nu(tmp_path, service.url, BATCHWRIGHT_TOKEN="let-me-in").value("batch list")
    assert [one.headers.get("authorization") for one in service.asked] == [None, "Bearer let-me-in"]


def test_a_proxy_is_not_asked_for_this_machine(service: FakeService, tmp_path: Path) -> None:
    service.on("GET", RUNS, {"items": [], "next_cursor": None})
    nowhere = "http://127.0.0.1:1"
    assert Nu(tmp_path, service.url, http_proxy=nowhere, all_proxy=nowhere).value("batch list") == []


# -- what is asked for ----------------------------------------------------------------------------------------------


def test_plain_nickel_is_sent_as_it_is_where_there_is_no_command(service: FakeService, nu: Nu) -> None:
    service.on("POST", f"{RUNS}/submit", Answer(json_of(run_view(halfway().run, T0)), 202))
    assert nu.value(f"batch submit {EXAMPLE} --simulate --sim [transient=0.2 boot_seconds=0]")["id"] == "abcdefghijkl"
    (asked,) = service.asked
    assert asked.headers["content-type"].startswith("text/x-nickel")
    assert asked.body.decode() == (ROOT / EXAMPLE).read_text()
    assert asked.query == [("sim", "transient=0.2"), ("sim", "boot_seconds=0"), ("simulate", "true")]
    assert len(asked.headers["idempotency-key"]) == 36


def test_a_plan_tells_what_would_change(service: FakeService, nu: Nu) -> None:
    there = (server("a"), server("b"), install("a"), install("b"))
    plan = planned(flow("a", "b", variables={"port": 81}), *there).plan
    assert plan is not None
    service.on("POST", f"{RUNS}/plan", PlanAnswer(True, plan_view(plan), ()))
    told = nu.value(f"batch plan {EXAMPLE} --simulate --retire --reinstall [nginx a]")
    assert (told["hash"], told["counts"]["~"], told["counts"]["="]) == (plan.hash(), 2, 2)
    assert [(one["symbol"], one["name"], one["server"]) for one in told["changes"]] == [
        ("~", "web", "a"),
        ("~", "web", "b"),
    ]
    assert told["values"] == []
    assert told["changes"][0]["changes"] == [{"field": "variables.port", "from": "80", "to": "81"}]
    (asked,) = service.asked
    assert asked.query == [("simulate", "true"), ("retire", "true"), ("reinstall", "nginx"), ("reinstall", "a")]


def test_what_needs_the_command_says_so(nu: Nu, tmp_path: Path) -> None:
    importing = tmp_path / "main.ncl"
    importing.write_text('let base = import "base.ncl" in base\n')
    assert "a file that imports others is evaluated on this machine" in nu.refused(f"batch submit {importing}")
    assert "the `batchwright` command is not there" in nu.refused(f"batch submit {EXAMPLE} --set region=x")
    assert "the `batchwright` command is not there" in nu.refused(f"batch submit {EXAMPLE} --overlay {EXAMPLE}")


def test_imports_overlays_and_inputs_are_evaluated_here(service: FakeService, tmp_path: Path) -> None:
    service.on("POST", f"{RUNS}/submit", Answer(json_of(run_view(halfway().run, T0)), 202))
    nu = with_command(service, tmp_path)
    servers = '[{ name = "web-01", plan = "1xCPU-2GB", zone = inputs.zone }]'
    operation = f'{{ id = "web", type = "server_batch", provider = "upcloud", server_configs = {servers} }}'
    (tmp_path / "base.ncl").write_text(
        f'{{ inputs = {{ zone | default = "de-fra1" }}, batch_workflow = {{ name = "shop", version = "1.0.0",'
        f" parallel_limit | default = 5, operations = [{operation}] }} }}"
    )
    (tmp_path / "main.ncl").write_text('(import "base.ncl") & {}')
    (tmp_path / "prod.ncl").write_text("{ batch_workflow.parallel_limit = 50 }")
    nu.value(f"batch submit {tmp_path}/main.ncl --overlay {tmp_path}/prod.ncl --set zone=us-nyc1")
    sent = service.asked[0].json()["batch_workflow"]
    assert (sent["parallel_limit"], sent["operations"][0]["server_configs"][0]["zone"]) == (50, "us-nyc1")
    assert "null" not in service.asked[0].body.decode()


def test_mistakes_are_told_with_their_places(service: FakeService, tmp_path: Path) -> None:
    broken = tmp_path / "broken.ncl"
    broken.write_text((ROOT / EXAMPLE).read_text().replace("parallel_limit = 5", 'parallel_limit = "5"'))
    said = with_command(service, tmp_path).refused(f"batch submit {broken}").replace(" ", "")
    assert "isnotvalid[workflow-invalid]" in said, "wherever Nushell breaks a long path, or a word at its hyphen"
    assert "broken.ncl:6:22:expected" in said
    assert service.asked == []


def test_a_rollback_can_be_looked_at_first(service: FakeService, nu: Nu) -> None:
    undo = {"step": "web/a", "provider": "upcloud", "what": "destroy", "ref": "ref-a", "note": ""}
    service.on("GET", f"{RUNS}/latest/rollback", {"run": "abcdefghijkl", "undo": [undo]})
    assert nu.value("batch rollback latest --plan") == [undo]
    service.on("GET", "/v1/environments", {"items": []})
    service.on("GET", f"{RUNS}/latest", run_view(halfway().run, T0))
    service.on("POST", f"{OWN}/rollback", Answer(json_of(run_view(halfway().run, T0)), 202))
    assert nu.value("batch rollback latest")["status"] == "Running"


def test_calls_of_a_provider_that_is_gone_are_given_up(service: FakeService, nu: Nu) -> None:
    service.on("GET", f"{RUNS}/latest", run_view(halfway().run, T0))
    service.on("POST", f"{OWN}/resume", Answer(json_of(run_view(halfway().run, T0)), 202))
    assert nu.value("batch resume latest --forget [upcloud aws]")["status"] == "Running"
    assert nu.value("batch resume latest --skip [give/run] --output ['url=a=b']")["status"] == "Running"
    [asked, told] = service.requests("POST", f"{OWN}/resume")
    assert asked.query == [("forget", "upcloud"), ("forget", "aws")]
    assert told.query == [("skip", "give/run"), ("output", "url=a=b")]


# -- what goes wrong ------------------------------------------------------------------------------------------------


def test_an_error_points_at_the_word_and_says_what_to_do(service: FakeService, nu: Nu) -> None:
    service.on("GET", f"{RUNS}/zz", problem(404, "run-not-found", "no run's id starts with 'zz'", "batchwright list"))
    said = nu.refused("batch status zz")
    assert "no run's id starts with 'zz' [run-not-found]" in said
    assert "help: batch list" in said
    assert "this one" in said


def test_an_unknown_status_is_told_before_anything_is_asked(service: FakeService, nu: Nu) -> None:
    assert "The states are: Pending, Running" in nu.refused("batch list --status sleeping")
    assert "there is no status .*" in nu.refused("batch list --status '.*'")
    assert service.asked == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("batch submit nothing.ncl", "there is no file nothing.ncl"),
        ("batch submit README.md", "the format of README.md is not known"),
        (f"batch submit {EXAMPLE} --sim transient", "--sim transient: expected a key, = and a value"),
    ],
)
def test_what_cannot_be_sent_is_refused_here(nu: Nu, line: str, said: str) -> None:
    assert said in nu.refused(line)


def test_no_service_and_no_service_of_ours(service: FakeService, nu: Nu, tmp_path: Path) -> None:
    service.on("GET", RUNS, Answer(b"<html>Oh dear</html>", 500, "text/html"))
    assert "answered 500, but is not a Batchwright service: Oh dear" in nu.refused("batch list")
    said = Nu(tmp_path, "http://127.0.0.1:1", http_proxy="http://127.0.0.1:2").refused("batch list")
    assert "no service can be reached at http://127.0.0.1:1: nothing listens there [service-unavailable]" in said
    assert "A proxy is set (http://127.0.0.1:2)" in said


# -- watching -------------------------------------------------------------------------------------------------------


def test_a_monitor_goes_on_where_the_stream_broke(service: FakeService, nu: Nu) -> None:
    story = completed()
    service.on("GET", OWN, run_view(halfway().run, T0 + 2), run_view(story.run, T0 + 5))
    parts = events(story, 3)
    snapshot = message("snapshot", run_view(halfway().run, T0 + 2), 3)
    service.stream(
        f"{OWN}/progress",
        [snapshot, parts[0], b": alive\n\n"],
        parts[1:],
        [message("end", run_view(story.run, T0 + 5))],
        cut_until=2,
    )
    done = nu("batch monitor abcdefghijkl | get status")
    assert (done.returncode, done.stdout.strip()) == (0, "Completed")
    lines = [event_line(event) for event in story.history[3:]]
    assert done.stderr.splitlines() == ["Running: 1 of 7 steps done", *lines]
    asked = service.requests("GET", f"{OWN}/progress")
    assert [one.headers.get("last-event-id") for one in asked] == [None, "4", str(len(story.history))]


def test_a_batch_that_failed_is_an_error(service: FakeService, nu: Nu) -> None:
    story = failed()
    service.on("POST", f"{RUNS}/submit", Answer(json_of(run_view(halfway().run, T0)), 202))
    service.on("GET", OWN, run_view(story.run, T0 + 5))
    service.stream(f"{OWN}/progress", [*events(story, 1), message("end", run_view(story.run, T0 + 5))])
    said = nu.refused(f"batch submit {EXAMPLE} --watch")
    assert "run abcdefghijkl is Failed: 1 of 7 steps done, 1 failed" in said
    assert f"web/b: {BAD.message}" in said
    assert "batch resume abcdefghijkl" in said


def test_of_a_big_run_only_sums_are_told(service: FakeService, nu: Nu) -> None:
    story = completed()
    view = {**json.loads(json_of(run_view(story.run, T0))), "total": 500}
    service.on("GET", OWN, view)
    service.stream(f"{OWN}/progress", [message("snapshot", view, 1), *events(story, 1), message("end", view)])
    assert nu("batch monitor abcdefghijkl").stderr.splitlines() == [
        "Completed: 2 of 500 steps done", *(event_line(story.history[i]) for i in (1, 2, -1))
    ]  # fmt: skip


# -- help and completion --------------------------------------------------------------------------------------------


def test_there_is_help(nu: Nu) -> None:
    names = nu.value("batch | get name")
    looks = "approvals audit drift environment environments lanes leases list monitor plan proposals runs stats status"
    looks += " webhooks"
    acts = "approve approve-proposal cancel destroy pause refuse refuse-proposal resend-webhooks resume rollback submit"
    assert names == sorted(f"batch {verb}" for verb in f"{looks} {acts}".split())
    for name in names:
        assert "Usage:" in nu(f"help {name}").stdout


def test_words_are_offered(service: FakeService, nu: Nu) -> None:
    service.on("GET", RUNS, {"items": [halfway().run.summary("filesystem")], "next_cursor": None})
    assert nu.offers("batch status ") == ["abcdefghijkl", "latest"]
    assert "RolledBack" in nu.offers("batch list --status ")
    assert nu.offers("batch submit workflows/ex") == [EXAMPLE]


def test_nothing_is_offered_and_nothing_said_without_a_service(tmp_path: Path) -> None:
    assert Nu(tmp_path, "http://127.0.0.1:1").offers("batch status ") == []


def json_of(value: object) -> bytes:
    return msgspec.json.encode(value)
