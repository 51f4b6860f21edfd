"""Values with the real command line: what docs/workflow-file.md shows, and real programs that give values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.command_line import Command

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "workflow-file.md").read_text()
GIVES = """
let give = "echo url=http://x/$BATCHWRIGHT_RUN >> $BATCHWRIGHT_OUTPUTS" in
{ batch_workflow = { name = "given", version = "1", operations = [
    { id = "give", type = "command", run = ["sh", "-c", give], outputs = ["url"] },
    { id = "use", type = "command", run = ["echo", "got ${outputs.give.url} of ${run.id}"], dependencies = ["give"],
      undo = ["echo", "undid ${outputs.give.url}"] },
    { id = "done", type = "command", run = ["false"], unless = ["test", "${workflow.name}", "=", "given"] },
] } }
"""


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path, BATCHWRIGHT_STATE_DIR=str(tmp_path / "state"))


def opened(command: Command, run: str = "latest") -> dict[str, dict[str, object]]:
    lines = map(json.loads, command("events", run, "--json").stdout.splitlines())
    return {one["operation"]: one["values"] for one in lines if one["type"] == "operation_opened"}


def test_an_address_is_given_to_another_server_as_the_document_shows(tmp_path: Path, command: Command) -> None:
    section = DOCUMENT.split("## Give an address to another server\n")[1].split("\n## ")[0]
    (tmp_path / "pair.ncl").write_text(section.split("```nickel\n")[1].split("```")[0])
    shown = [line.strip() for line in section.split("    $ batchwright plan pair.ncl\n")[1].splitlines()[1:3]]
    planned = command("plan", "pair.ncl", "--simulate").stdout
    assert all(line in planned for line in shown), planned
    command("run", "pair.ncl", "--simulate", "--sim", "time_scale=0.01")
    (address,) = [one["address"] for one in command.json("status", "latest")["servers"] if one["name"] == "db-1"]
    assert opened(command) == {
        "settings": {"servers.db-1.address": address},
        "tell": {"outputs.see.seen": "simulated-seen"},
    }
    assert f"${{servers.db-1.address}} is {address}, from db/db-1" in command("explain", "latest", "settings").stdout
    again = command.json("plan", "pair.ncl", "--simulate")
    assert {symbol: n for symbol, n in again["plan"]["difference"].items() if n} == {"run": 2, "=": 4}


def test_real_programs_give_values_and_are_undone_with_them(tmp_path: Path, command: Command) -> None:
    (tmp_path / "given.ncl").write_text(GIVES)
    command("run", "given.ncl")
    run = command.json("status", "latest")["run"]
    url = f"http://x/{run}"
    assert opened(command)["use"] == {"outputs.give.url": url, "run.id": run}
    assert f"got {url} of {run}" in command("logs", "latest", "use/run").stdout
    command("rollback", "latest", "--yes")
    assert f"undid {url}" in command("logs", "latest", "use/run").stdout
