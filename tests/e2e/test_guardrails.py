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
