"""Metrics as Prometheus sees them: the page, the alert rules and the dashboard of deploy/."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.needs import tool
from tests.support.service_in_loop import serving, workflow

DEPLOY = Path(__file__).parents[2] / "deploy"
NAMED = re.compile(r"\bbatchwright_[a-z_]+")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The metrics page of a service that drives a run."""

    async def main() -> str:
        async with serving(tmp_path_factory.mktemp("metrics")) as service:
            run = (await service.submit(workflow(), boot_seconds="3600")).json["run"]
            await service.until(run, "Running")
            await service.monitor.look()
            return (await service.get("/metrics")).body.decode()

    return asyncio.run(main())


def promtool(*words: str, given: str = "") -> None:
    command = [tool("promtool", "scripts/tools.sh"), *words]
    done = subprocess.run(command, cwd=DEPLOY, input=given, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_prometheus_finds_nothing_wrong_with_the_page(page: str) -> None:
    promtool("check", "metrics", given=page)


def test_the_alert_rules_hold_and_say_what_they_should() -> None:
    promtool("check", "rules", "alerts.yaml")
    promtool("test", "rules", "alerts_test.yaml")
    rules = set(re.findall(r"alert: (\w+)", (DEPLOY / "alerts.yaml").read_text()))
    cases = set(re.findall(r"alertname: (\w+)(?=\n +exp_alerts:\n +- )", (DEPLOY / "alerts_test.yaml").read_text()))
    assert rules == cases  # each rule fires in some case


def test_alerts_and_dashboard_ask_for_metrics_that_exist(page: str) -> None:
    families = list(text_string_to_metric_families(page))
    exist = {sample.name for family in families for sample in family.samples}
    exist |= {f"batchwright_{name}_total" for name in ("retries", "throttles")}  # of providers
    board = json.loads((DEPLOY / "grafana" / "batchwright.json").read_text())
    asked = {name for panel in board["panels"] for one in panel["targets"] for name in NAMED.findall(one["expr"])}
    asked |= set(NAMED.findall(board["templating"]["list"][1]["query"]))
    rules = re.findall(r"expr: (?:>-)?(.*(?:\n {10}.*)*)", (DEPLOY / "alerts.yaml").read_text())
    assert {name for rule in rules for name in NAMED.findall(rule)} - exist == set()
    assert asked - exist == set()
    known = {family.name for family in families if not family.name.endswith("_created")}
    shown = {re.sub(r"_(total|bucket)$", "", name) for name in asked}
    assert known - shown == set()  # and the dashboard shows every one
