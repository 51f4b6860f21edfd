"""core/nulib/workflows/environments.nu in the real nu, and environments wherever a run is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.support.fake_service import Answer, FakeService, fake_service, problem
from tests.support.nushell import Nu
from tests.unit.views.story import T0, Story, fleet

from batchwright.model.environment import Environment, Resource
from batchwright.model.lifecycle import RunState
from batchwright.views.drift import DriftedField, DriftItem, DriftState, environment_drift
from batchwright.views.environment import EnvironmentLine, environment_line, environment_view
from batchwright.views.run import run_view

RUNS, ENVIRONMENTS = "/v1/workflows/batch", "/v1/environments"
RUN = "abcdefghijkl"
SERVER = Resource("server", "a", provider="upcloud", ref="ref-a", address="10.0.0.1", made_by=RUN, made_turn=1)
REDIS = Resource("taskserv", "redis", "a", request={"version": "7.0", "variables": {"password": {"env": "PASSWORD"}}})


@pytest.fixture
def service() -> Iterator[FakeService]:
    with fake_service() as fake:
        yield fake


@pytest.fixture
def nu(service: FakeService, tmp_path: Path) -> Nu:
    return Nu(tmp_path, service.url)


def story() -> Story:
    return fleet().begin().start("web/a", at=1.0).succeed("web/a", at=2.0)


def line(name: str, space: str = "real", tenant: str = "") -> EnvironmentLine:
    row = Environment(space, name, turn=1, tenant=tenant, since=T0, last=RUN)
    return environment_line(row, story().run.summary("filesystem"), "", (SERVER, REDIS))


def test_a_list_pipes_and_says_what_to_do_in_words_of_nushell(service: FakeService, nu: Nu) -> None:
    service.on("GET", ENVIRONMENTS, {"items": [line("shop"), line("shop/eu", tenant=RUN)]})
    assert nu.value("batch environments | where changing | select name servers taskservs run status next") == [
        {
            "name": "shop/eu",
            "servers": 1,
            "taskservs": 1,
            "run": RUN,
            "status": "Running",
            "next": f"continue it with: batch resume {RUN}, or end it with: batch cancel {RUN}",
        }
    ]


def test_one_has_tables_of_what_is_there(service: FakeService, nu: Nu) -> None:
    ended = story().end(RunState.COMPLETED, 4.0).run.summary("filesystem")
    service.on("GET", f"{ENVIRONMENTS}/shop/eu", environment_view(line("shop/eu"), (SERVER, REDIS), (ended,)))
    value = nu.value("batch environment real:shop/eu")
    assert [(one["name"], one["address"], one["made_by"]) for one in value["servers"]] == [("a", "10.0.0.1", RUN)]
    assert [(one["server"], one["name"], one["variables"]) for one in value["taskservs"]] == [
        ("a", "redis", {"password": {"env": "PASSWORD"}})
    ]
    assert [one["run"] for one in value["rollbacks"]] == [RUN]
    assert service.asked[0].query == [("simulated", "false")]


def test_a_name_means_the_newest_run(service: FakeService, nu: Nu) -> None:
    """One with a slash, or that is also a call of the service, is looked up first."""
    view = run_view(story().run, T0 + 5)
    service.on("GET", f"{RUNS}/{RUN}", view)
    service.on("GET", f"{RUNS}/simulated:shop", view)
    for name in ("shop/eu", "stats"):
        service.on("GET", f"{ENVIRONMENTS}/{name}", environment_view(line(name), (), ()))
        assert nu.value(f"batch status {name}")["id"] == RUN
    assert nu.value("batch status simulated:shop")["environment"] == "tested"
    assert [one.path for one in service.asked] == [
        f"{ENVIRONMENTS}/shop/eu",
        f"{RUNS}/{RUN}",
        f"{ENVIRONMENTS}/stats",
        f"{RUNS}/{RUN}",
        f"{RUNS}/simulated:shop",
    ]
    service.asked.clear()
    service.on("GET", RUNS, {"items": [], "next_cursor": None})
    assert nu.value("batch list --environment shop/eu") == []
    assert nu.value("batch runs shop/eu") == []
    assert [one.query for one in service.asked] == [[("environment", "shop/eu"), ("limit", "50")]] * 2


def test_an_action_stays_with_the_run_that_the_name_meant_first(service: FakeService, nu: Nu) -> None:
    view = run_view(story().run, T0)
    service.on("GET", f"{RUNS}/shop", view)
    lost = Answer(b"<html>", 504, "text/html")
    service.on("POST", f"{RUNS}/{RUN}/pause", lost, view)
    assert nu.value("batch pause shop")["id"] == RUN
    assert [one.path for one in service.asked] == [f"{RUNS}/shop", *[f"{RUNS}/{RUN}/pause"] * 2]


def test_an_unknown_name_is_told_with_what_was_meant(service: FakeService, nu: Nu) -> None:
    service.on("GET", f"{ENVIRONMENTS}/shp", problem(404, "environment-not-found", "no shp", hint="Did you mean shop?"))
    said = nu.refused("batch environment shp")
    assert "no shp [environment-not-found]" in said
    assert "Did you mean shop?" in said
    service.asked.clear()
    for name in ("'a b'", "../shop", "shop/eu/x", "unreal:shop"):
        assert "[environment-not-found]" in nu.refused(f"batch environment {name}")
        assert "and no environment has that name" in nu.refused(f"batch status {name}")
    assert service.asked == []


def test_latest_destroys_nothing_where_there_are_several(service: FakeService, nu: Nu) -> None:
    service.on("GET", ENVIRONMENTS, {"items": [line("shop"), line("shop", "simulated")]})
    for words in ("rollback latest", "rollback latest --yes", "cancel latest --force"):
        said = nu.refused(f"batch {words}")
        assert "real:shop, simulated:shop [latest-ambiguous]" in said.replace(" | ", " ")
        assert "batch environments" in said
    assert {one.method for one in service.asked} == {"GET"}


def test_names_are_offered(service: FakeService, nu: Nu) -> None:
    service.on("GET", ENVIRONMENTS, {"items": [line("shop"), line("shop/eu")]})
    assert nu.offers("batch environment ") == ["shop", "shop/eu"]


def test_drift_is_a_table(service: FakeService, nu: Nu) -> None:
    one = DriftItem("server", "web-1", DriftState.DRIFTED, "web-1", "upcloud", "ref", (DriftedField("plan", "s", "l"),))
    items = (one, replace(one, name="web-2", state=DriftState.SAME, fields=()))
    found = environment_drift("shop", simulated=False, run=RUN, changing="", at=T0, items=items)
    service.on("GET", "/v1/drift", found)
    assert nu.value("batch drift shop | where state != same | select name fields") == [
        {"name": "web-1", "fields": [{"field": "plan", "expected": "s", "found": "l"}]}
    ]
