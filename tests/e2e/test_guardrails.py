"""Guardrails as people meet them: the operator's config.toml, the command line and the service."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.command_line import Command

SHOP = """{
  inputs = { names | default = ["a", "b"] },
  batch_workflow = { name = "shop", version = "1", operations = [{
    id = "up", type = "server_batch", provider = "upcloud",
    server_configs = std.array.map (fun n => { name = n, plan = "1xCPU-2GB", zone = "de-fra1" }) inputs.names,
  }] } }"""
SIM = ("--sim", "time_scale=0")


class Operator(Command):
    """Types command lines, and writes config.toml."""

    def configure(self, text: str) -> None:
        file = self.home / ".config/batchwright/config.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.fixture
def shell(tmp_path: Path) -> Operator:
    (tmp_path / "shop.ncl").write_text(SHOP)
    return Operator(tmp_path, BATCHWRIGHT_STATE_DIR=str(tmp_path / "state"))


def test_the_operators_limits_refuse_a_plan_and_a_run(shell: Operator) -> None:
    shell.configure("[limits]\nservers = 1\n")
    for command in ("plan", "run"):
        refused = shell(command, "shop.ncl", *SIM, code=1)
        assert "would have 2 servers; config.toml sets limits.servers = 1 [limit-exceeded]" in refused.stderr
        assert "else raise that limit" in refused.stderr
    found = shell.json("plan", "shop.ncl", *SIM, code=1)
    assert (found["ok"], [one["code"] for one in found["diagnostics"]]) == (False, ["limit-exceeded"])
    assert shell.json("list")["runs"] == []


def test_a_limit_in_the_file_is_told_with_its_place(shell: Operator) -> None:
    file = shell.home / "shop.ncl"
    file.write_text(SHOP.replace('version = "1",', 'version = "1", limits = { servers = 1 },'))
    assert "shop.ncl:3:73: the environment would have 2 servers" in shell("plan", "shop.ncl", *SIM, code=1).stderr


def test_the_destroy_of_an_environment_is_refused_with_the_reason(shell: Operator) -> None:
    shell("run", "shop.ncl", *SIM)
    shell.configure("[limits]\ndestroys = 1\n")
    refused = shell("destroy", "shop", "--yes", code=1)
    assert (
        "this would destroy 2 servers (b, a); config.toml sets limits.destroys = 1 [limit-exceeded]" in refused.stderr
    )
    assert (
        shell.json("destroy", "shop", "--yes", "--json", code=1)["error"]["diagnostics"][0]["code"] == "limit-exceeded"
    )
    shell("run", "shop.ncl", "--set", 'names=["a"]', "--retire", *SIM)  # in parts
    shell("destroy", "shop", "--yes")


def test_a_mistake_in_the_configuration_stops_every_plan(shell: Operator) -> None:
    shell.configure("[limits]\nserver = 1\n")
    refused = shell("plan", "shop.ncl", *SIM, code=2)
    assert "there is no limit `server`, at `limits` [config-invalid]" in refused.stderr
    assert "Did you mean servers?" in refused.stderr


POLICY = """{
  rules = {
    zones = {
      deny = fun plan =>
        plan.servers
        |> std.array.filter (fun one => one.zone != "fi-hel1")
        |> std.array.map (fun one => { message = "%{one.name} is in %{one.zone}", at = one.name }),
    },
    labels = { warn = fun plan => std.array.any (fun one => one.labels == {}) plan.servers, message = "no labels" },
  },
}"""


def test_the_operators_rules_refuse_and_warn(shell: Operator) -> None:
    shell.configure('policy = "rules.ncl"\n')
    rules = shell.home / ".config/batchwright/rules.ncl"
    rules.write_text(POLICY)
    for command in ("plan", "run"):
        refused = shell(command, "shop.ncl", *SIM, code=1)
        assert "shop.ncl:5:46: a is in de-fra1 (rule zones) [policy-denied]" in refused.stderr
        assert "policy: warning: no labels (rule labels) [policy-warning]" in refused.stderr
    found = shell.json("plan", "shop.ncl", *SIM, code=1)
    assert sorted(one["code"] for one in found["diagnostics"]) == ["policy-denied", "policy-denied", "policy-warning"]
    assert shell.json("list")["runs"] == []
    rules.write_text(POLICY.replace("fi-hel1", "de-fra1"))
    planned = shell.json("plan", "shop.ncl", *SIM)
    assert [one["code"] for one in planned["plan"]["warnings"]] == ["policy-warning"]
    shell("run", "shop.ncl", *SIM)
    rules.write_text('{ rules.closed = { deny = fun plan => true, message = "closed" } }')
    assert "closed (rule closed) [policy-denied]" in shell("destroy", "shop", "--yes", code=1).stderr
    assert shell("rollback", "shop", "--yes").returncode == 0  # it only undoes


def test_a_run_that_goes_on_is_not_judged_again(shell: Operator) -> None:
    failed = shell("run", "shop.ncl", *SIM, "--sim", "fail=b", code=1)
    assert "Failed" in failed.stdout
    shell.configure('policy = "rules.ncl"\n')
    (shell.home / ".config/batchwright/rules.ncl").write_text(POLICY)
    assert "(rule zones)" in shell("plan", "shop.ncl", *SIM, code=1).stderr
    resumed = shell("resume", "shop", code=1)  # it meets the scripted fault again, not the rule
    assert "rule" not in resumed.stdout + resumed.stderr


def test_a_policy_file_is_checked_and_listed(shell: Operator) -> None:
    rules = shell.home / "rules.ncl"
    rules.write_text(POLICY)
    assert "rules.ncl: 2 rules\n  labels: warns\n  zones: denies" in shell("policy", "check", "rules.ncl").stdout
    rules.write_text(POLICY.replace("warn =", "wran ="))
    refused = shell("policy", "check", "rules.ncl", code=1)
    assert "rules.ncl:9:14: a rule has one of deny and warn; this has none of them [rule-effect]" in refused.stderr
    assert shell.json("policy", "check", "rules.ncl", code=1)["ok"] is False
    assert "no policy file is set" in shell("policy", "check", code=2).stderr
    shell.configure(f'policy = "{rules}"\n')
    assert shell("policy", "check", code=1).stderr == refused.stderr.replace("rules.ncl", str(rules))


def test_a_plan_file_is_judged_by_the_guardrails_where_it_is_applied(shell: Operator) -> None:
    shell("plan", "shop.ncl", *SIM, "--out", "shop.plan")
    shell.configure("[limits]\nservers = 1\n")
    for command in ("plan", "run"):
        assert "limits.servers = 1 [limit-exceeded]" in shell(command, "shop.plan", code=1).stderr
    shell.configure('policy = "rules.ncl"\n[limits]\ncost_per_hour = { EUR = 0.01 }\n')
    rules = shell.home / ".config/batchwright/rules.ncl"
    rules.write_text(POLICY)
    refused = shell("run", "shop.plan", code=1).stderr
    assert "would cost 0.0386 EUR per hour; config.toml sets limits.cost_per_hour = 0.01 EUR" in refused
    assert "a is in de-fra1 (rule zones) [policy-denied]" in refused
    assert shell.json("list")["runs"] == []
    shell.configure("[limits]\ncost_per_hour = { EUR = 0.04 }\n")  # the file has no prices: they are asked for here
    shell("run", "shop.plan")


def test_no_workflow_brings_a_policy_of_its_own(shell: Operator) -> None:
    (shell.home / "shop.ncl").write_text(SHOP.replace('version = "1",', 'version = "1", policy = "mine.ncl",'))
    assert "unknown field `policy`" in shell("validate", "shop.ncl", code=1).stderr
