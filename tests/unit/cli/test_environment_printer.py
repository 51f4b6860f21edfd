"""Environments on the screen: every trouble is named, with what to do."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.unit.views.story import T0, fleet

from batchwright.cli.environment_printer import show_environment, show_environments
from batchwright.model.environment import Environment, Resource
from batchwright.views.environment import environment_line, environment_view

RUN, OTHER = "abcdefghijkl", "bbbbbbbbbbbb"
STORY = fleet().begin().start("web/a", at=1.0)
ROW = Environment("simulated", "shop/eu", turn=3, since=T0, last=RUN)
SUMMARY = STORY.run.summary("filesystem")
WEB = Resource("server", "web", provider="upcloud", ref="ref-1", address="10.0.0.1", made_by=RUN, changed_by=RUN)
REDIS = Resource("taskserv", "redis", "web", ref="ref-1", made_by=RUN, changed_by=OTHER, request={"version": "7.0"})


def shown(capsys: pytest.CaptureFixture[str], row: Environment, *resources: Resource, driver: str = "") -> str:
    line = environment_line(row, SUMMARY, driver, resources)
    show_environments([line], "here")
    users, owners = {"web": ["mail"]}, {"old": "other"}
    show_environment(environment_view(line, resources, [], users, owners))
    return capsys.readouterr().out


def test_whose_turn_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    told = shown(capsys, replace(ROW, tenant=RUN), driver="process 7 on vm")
    assert f"run {RUN} is changing it: process 7 on vm drives it" in told
    assert f"batchwright monitor {RUN}" in told
    assert "! shop/eu" not in told
    told = shown(capsys, replace(ROW, tenant=RUN))
    assert f"! shop/eu: run {RUN} is Running and no process drives it" in told
    assert told.count(f"batchwright resume {RUN}") == 2


def test_what_is_unsettled_or_on_its_way_to_another_store(capsys: pytest.CaptureFixture[str]) -> None:
    told = shown(capsys, replace(ROW, unsettled=OTHER))
    assert f"! shop/eu: run {OTHER} ended with a call of unknown outcome; settle it with" in told
    assert "no other run may begin until that is settled" in told
    assert "! shop/eu: its move to another store is not finished" in shown(capsys, replace(ROW, store="surrealdb"))


def test_what_is_there_and_what_is_wrong_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    variables = {"port": 80, "tls": True, "password": {"env": "PASSWORD"}}
    told = shown(
        capsys,
        ROW,
        WEB,
        replace(REDIS, request={"version": "7.0", "variables": variables}),
        replace(REDIS, name="etcd", whole=False, made_by="", residue="it does not stop"),
        Resource("server", "old", ref="ref-2", borrowed=True, changed_by=OTHER, leftover=("ref-0",)),
        Resource("server", "new", doubtful=True, whole=False, changed_by=RUN, residue="it is locked"),
        Resource("command", "seed", "web", operation="seed", made_by=RUN, residue="exit code 1"),
    )
    for words in (
        "2 servers, 2 task services",
        f"made by {RUN}, used by mail",
        f"redis 7.0 port=80 tls=true password=<env PASSWORD>  (made by {RUN}, changed by {OTHER})",
        f"etcd 7.0  (begun by {OTHER}, not finished)",
        f"was there before, kept by {OTHER}, never destroyed here, belongs to other",
        f"begun by {RUN}, not ready, may exist twice",
        "old: ref-0 should be gone",
        "web/etcd: it does not stop",
        "new: it is locked",
        "seed: exit code 1",
        f"seed on web, run {RUN}",
    ):
        assert words in told


def test_long_lists_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    told = shown(capsys, ROW, *(replace(WEB, name=f"web-{i:02d}") for i in range(43)))
    assert "web-39" in told
    assert "web-40" not in told
    assert "and 3 more servers: --json shows all of them" in told
