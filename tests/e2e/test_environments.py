"""Two environments of one workflow over several runs, as they are typed: what is listed, shown, named and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import Command
from tests.support.service_process import service_process

SHOP = """
{
  inputs = { prefix | default = "web", count | default = 1, port | default = 8080 },
  batch_workflow = {
    name = "shop",
    version = "1",
    operations = [
      {
        id = "servers", type = "server_batch", provider = "upcloud",
        server_configs = std.array.generate
          (fun n => { name = "%{inputs.prefix}-%{std.to_string n}", plan = "1xCPU-2GB", zone = "de-fra1" })
          inputs.count,
      },
      {
        id = "site", type = "taskserv_batch", provider = "upcloud", dependencies = [{ id = "servers" }],
        taskservs = [{ name = "nginx", variables = { port = inputs.port } }],
      },
    ],
  },
}
"""
STAGING = ("--env", "staging", "--set", "prefix=stage")


@pytest.fixture
def shell(tmp_path: Path) -> Command:
    (tmp_path / "shop.ncl").write_text(SHOP)
    return Command(tmp_path, BATCHWRIGHT_STATE_DIR=str(tmp_path / "state"))


def run(shell: Command, *words: str) -> str:
    """A run to its end; gives its id."""
    shell("run", "shop.ncl", "--sim", "time_scale=0", *words)
    return str(shell.json("list", "--limit", "1")["runs"][0]["run"])


def listed(shell: Command) -> list[tuple[Any, ...]]:
    lines = shell.json("environments")["environments"]
    return [(one["name"], one["servers"], one["taskservs"], one["run"], one["status"]) for one in lines]


def test_two_environments_of_one_workflow(shell: Command) -> None:
    assert "no environments in" in shell("environments").stdout
    first, staging = run(shell), run(shell, *STAGING)
    second = run(shell, "--set", "count=2")
    assert listed(shell) == [("shop", 2, 2, second, "Completed"), ("shop/staging", 1, 1, staging, "Completed")]
    assert "shop/staging" in shell("environments").stdout

    # a name is its newest run, and an environment for `status` and `list`
    assert shell.json("status", "shop", "--steps")["run"]["run"] == second
    assert staging in shell("monitor", "shop/staging").stdout
    assert "run created by" in shell("events", "shop/staging").stdout
    assert [row["run"] for row in shell.json("list", "--environment", "shop")["runs"]] == [second, first]
    assert [row["run"] for row in shell.json("runs", "shop")["runs"]] == [second, first]
    assert "shop/staging 1" in shell("list").stdout
    assert "shop/staging 1" in shell("status", staging).stdout
    assert "shop/staging 1" in shell("plan", "shop.ncl", "--simulate", *STAGING).stdout
    shown = shell("status", "shop").stdout
    assert f"made by {first}" in shown
    assert "port=8080" in shown
    view = shell.json("status", "simulated:shop")
    assert [(one["name"], one["made_by"]) for one in view["resources"]] == [("web-0", first), ("web-1", second)]
    assert [one["run"] for one in view["rollbacks"]] == [second, first]

    # what destroys takes an id or a name
    for words in (["rollback", "latest", "--yes"], ["cancel", "latest", "--force"], ["gc", "--run", "latest", "--yes"]):
        assert shell.json(*words, code=2)["error"]["code"] == "latest-ambiguous"
    assert shell.json("status", "latest")["run"] == second
    shell("rollback", "shop", "--yes")
    assert listed(shell)[0] == ("shop", 1, 1, second, "RolledBack")
    assert [one["run"] for one in shell.json("status", "shop")["rollbacks"]] == [first]
    misspelt = shell.json("status", "shop/stagin", code=2)["error"]
    assert (misspelt["code"], "shop/staging" in misspelt["hint"]) == ("environment-not-found", True)


def test_a_run_that_cannot_be_rolled_back_is_not_offered_for_it(shell: Command) -> None:
    first = run(shell)
    second = run(shell, "--set", "port=8081")  # it only changed a variable, and that can be undone
    view = shell.json("status", "shop")
    assert [one["changed_by"] for server in view["resources"] for one in server["taskservs"]] == [second]
    assert [one["run"] for one in view["rollbacks"]] == [second, first]
    (shell.home / "final.ncl").write_text("{ batch_workflow.rollback_enabled = false }")
    run(shell, "--set", "port=8082", "--overlay", "final.ncl")
    assert shell.json("status", "shop")["rollbacks"] == []
    assert shell.json("rollback", "shop", "--yes", code=2)["error"]["code"] == "not-allowed"


def test_an_environment_stays_what_it_is_in_another_store(shell: Command) -> None:
    first = run(shell)
    before = shell.json("status", "shop")
    shell("store", "migrate", "--from", "filesystem", "--to", "surrealdb")
    after = shell.json("status", "shop")
    assert (after.pop("store"), before.pop("store")) == ("surrealdb", "filesystem")
    assert after == before
    assert listed(shell) == [("shop", 1, 1, first, "Completed")]
    shell("destroy", "simulated:shop", "--yes")
    assert listed(shell)[0][:3] == ("shop", 0, 0)
    assert shell.json("status", "shop")["resources"] == []


def test_a_file_of_other_servers_retires_only_by_command(shell: Command) -> None:
    """Whatever the file allows: it may be the wrong one."""
    run(shell)
    allowing = SHOP.replace('version = "1",', 'version = "1", changes = { retire = "allowed" },')
    (shell.home / "shop.ncl").write_text(allowing)
    other = ("--set", "prefix=other", "--sim", "time_scale=0")
    refused = shell("run", "shop.ncl", *other, code=1).stderr
    assert "the file asks for no server that the environment shop has" in refused
    assert "web-0 [environment-mismatch]" in refused
    with service_process(shell.home) as (url, _):
        assert "[environment-mismatch]" in shell("submit", "shop.ncl", *other, "--url", url, code=1).stderr
        shell("submit", "shop.ncl", *other, "--retire", "--watch", "--url", url)
    assert [one["name"] for one in shell.json("status", "shop")["resources"]] == ["other-0"]
    shell("run", "shop.ncl", "--retire", "--set", "prefix=third", "--sim", "time_scale=0")
    assert [one["name"] for one in shell.json("status", "shop")["resources"]] == ["third-0"]


def test_a_plan_says_that_another_environment_uses_what_it_would_destroy(shell: Command) -> None:
    run(shell, "--set", "count=2")
    run(shell, "--set", "count=2", "--env", "staging")
    words = ("shop.ncl", "--retire", "--sim", "time_scale=0")
    for verb, code in (("plan", 0), ("run", 2)):
        said = shell(verb, *words, code=code).stderr
        assert "the environment shop/staging uses the server web-1 (upcloud-00000" in said
        assert "[server-borrowed]" in said
    assert "[server-borrowed]" not in shell("plan", "shop.ncl", "--sim", "time_scale=0").stderr
    assert "[server-borrowed]" in shell("destroy", "shop", "--plan", code=2).stderr
    shell("destroy", "shop/staging", "--yes")
    shell("run", *words)
    assert listed(shell)[0][:3] == ("shop", 1, 1)
