"""C7: what the file alone can tell `validate` tells, and every finding of a plan points at the file."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from batchwright.app.diagnostic_positions import path_of
from batchwright.app.planned import Planned
from batchwright.app.plans import check, make_plan
from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from batchwright.app.workflow_source import Source
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.workflow import ServerConfig, Workflow
from batchwright.operations.command import Command
from batchwright.operations.server_batch import ServerBatch
from batchwright.operations.taskserv_batch import TaskservBatch, TaskservUse
from tests.support.service_in_loop import RUNS, serving

HEAD = """{ batch_workflow = { name = "x", version = "1", operations = [
  { id = "servers", type = "server_batch", provider = "simulated", server_configs = [
    { name = "w1", plan = "small", zone = "zone-a" },
    { name = "w2", plan = "small", zone = "zone-a" } ] },
"""


def source(folder: Path, *operations: str) -> Source:
    file = folder / "flow.ncl"
    file.write_text(HEAD + "".join(f"  {one},\n" for one in operations) + "] } }\n")
    return Source(file)


def services(name: str, what: str, *more: str) -> str:
    head = f'{{ id = "{name}", type = "taskserv_batch", provider = "simulated", '
    return head + ", ".join([*more, f"taskservs = {what}"]) + " }"


NEEDS = 'dependencies = ["servers"]'


@pytest.mark.parametrize(
    ("operations", "code", "place"),
    [
        ([services("a", '["redis"]')], "no-targets", "5:3"),
        ([services("a", '["redis"]', 'targets = ["servers"]')], "target-not-depended-on", '"servers"]'),
        ([services("a", '["redis"]', NEEDS, 'targets = ["w1", "a"]')], "target-no-servers", '"a"]'),
        (
            ['{ id = "c", type = "command", run = ["true"], targets = ["w2"] }'],
            "target-not-depended-on",
            '"w2"]',
        ),
        (
            [services("a", '["redis"]', NEEDS), services("b", '["nginx", "redis"]', NEEDS)],
            "taskserv-twice",
            '"redis"] },\n]',
        ),
        (
            [services("a", '["kubernetes"]', NEEDS), services("b", '["cilium"]', NEEDS)],
            "requirement-unordered",
            '["servers"], taskservs = ["cilium"]',
        ),
    ],
)
def test_validate_tells_it_with_its_place(operations: list[str], code: str, place: str, tmp_path: Path) -> None:
    """C7: no provider is needed to know it."""
    asked = source(tmp_path, *operations)
    loaded = check(asked, Settings(tmp_path / "state"))
    found = [one for one in loaded.diagnostics if one.severity is Severity.ERROR]
    assert (loaded.workflow, [one.code for one in found]) == (None, [code])
    text = asked.file.read_text()
    if ":" not in place:
        offset = text.index(place)
        place = f"{text.count(chr(10), 0, offset) + 1}:{offset - text.rfind(chr(10), 0, offset)}"
    assert (found[0].file, f"{found[0].line}:{found[0].column}") == (str(asked.file), place)


def planned(asked: Source, folder: Path, simulation: dict[str, Any] | None) -> Planned:
    return asyncio.run(make_plan(Settings(folder / "state"), SystemClock(), asked, simulation))


def places(found: Planned) -> dict[str, tuple[int, int]]:
    assert all(one.file for one in found.diagnostics), found.diagnostics
    return {one.code: (one.line, one.column) for one in found.diagnostics}


def test_what_a_provider_refuses_points_at_the_field(tmp_path: Path) -> None:
    """C7: the plan, the zone, the image of a server."""
    batch = '{ id = "up", type = "server_batch", provider = "upcloud", server_configs = ['
    asked = source(tmp_path, f'{batch}\n{{ name = "u", plan = "1XCPU-1GB", zone = "DE-FRA1" }}] }}')
    found = planned(asked, tmp_path, {})
    assert places(found) == {"unknown-plan": (6, 22), "unknown-zone": (6, 42)}
    assert (found.plan, found.is_valid) == (None, True)


def test_what_a_command_lacks_points_at_the_command(tmp_path: Path) -> None:
    """C7: programs, folders and secrets of this machine."""
    asked = Source(tmp_path / "flow.ncl")
    commands = """
      { id = "a", type = "command", run = ["no-such-program-here"] },
      { id = "b", type = "command", run = ["true"], env = { A = { env = "NOT_SET_HERE" } } },
      { id = "c", type = "command", run = ["true"], directory = "gone" },"""
    asked.file.write_text(f'{{ batch_workflow = {{ name = "x", version = "1", operations = [{commands}] }} }}')
    told = places(planned(asked, tmp_path, None))
    assert told == {"program-missing": (2, 43), "secret-missing": (3, 59), "directory-missing": (4, 65)}


def test_a_program_that_cannot_be_run_is_told_at_its_run_or_its_undo(tmp_path: Path) -> None:
    asked = Source(tmp_path / "flow.ncl")
    script = tmp_path / "script"
    script.write_text("echo well")
    script.chmod(0o755)
    command = f"""
      {{ id = "a", type = "command", run = ["{script}"],
        undo = ["no-such-program"] }},"""
    asked.file.write_text(f'{{ batch_workflow = {{ name = "x", version = "1", operations = [{command}] }} }}')
    told = places(planned(asked, tmp_path, None))
    assert {code: line for code, (line, _) in told.items()} == {"program-not-runnable": 2, "program-missing": 3}


def test_a_warning_stands_in_the_plan_once_with_its_place(tmp_path: Path) -> None:
    """C7: what `validate` has told is not told again by the plan."""
    asked = source(tmp_path, services("a", '["containerd", "kubernetes"]', NEEDS))
    checked = check(asked, Settings(tmp_path / "state"))
    found = planned(asked, tmp_path, {})
    assert found.plan is not None
    assert [one.code for one in found.diagnostics] == [one.code for one in found.plan.warnings]
    assert [one.code for one in checked.diagnostics] == [one.code for one in found.diagnostics]
    assert all(one.file and one.line == 5 for one in found.plan.warnings)


def test_an_operation_that_was_written_as_a_field_or_comes_from_an_overlay_is_found(tmp_path: Path) -> None:
    """C7: the place is the one that was written, in whichever file."""
    file, overlay = tmp_path / "flow.ncl", tmp_path / "more.ncl"
    batch = (
        'type = "server_batch", provider = "upcloud", server_configs = [{ name = "u", plan = "no", zone = "de-fra1" }]'
    )
    file.write_text('{ batch_workflow = { name = "x", version = "1", operations = {} } }')
    overlay.write_text(f"{{ batch_workflow.operations.up =\n  {{ {batch} }} }}")
    found = planned(Source(file, (overlay,)), tmp_path, {})
    assert [(one.code, one.file, one.line) for one in found.diagnostics] == [("unknown-plan", str(overlay), 2)]


@pytest.mark.parametrize("door", ["plan", "submit"])
def test_over_rest_it_is_the_same(door: str, tmp_path: Path) -> None:
    """C7: a plan that is refused has the places of what was sent, and is no invalid workflow."""
    server = {"name": "u", "plan": "no", "zone": "de-fra1"}
    batch = {"id": "up", "type": "server_batch", "provider": "upcloud", "server_configs": [server]}
    body = json.dumps({"batch_workflow": {"name": "x", "version": "1", "operations": [batch]}}, indent=1)

    async def main() -> Any:
        async with serving(tmp_path) as service:
            kind = {"Content-Type": "application/json"}
            return await service.post(f"{RUNS}/{door}?simulate=true", data=body.encode(), headers=kind)

    answer = asyncio.run(main())
    (found,) = answer.json["diagnostics"]
    assert (answer.status, answer.json["code"]) == (422, "plan-refused")
    line = body[: body.index('"no"')].count("\n") + 1
    assert (found["code"], found["file"], found["line"]) == ("unknown-plan", "workflow.json", line)


def test_every_kind_of_name_leads_to_a_path() -> None:
    """C7: operations, servers, steps, providers, stores; and a name that is none has no place."""
    batch = ServerBatch("s", "upcloud", (ServerConfig("a"), ServerConfig("b")))
    service = TaskservBatch("t", "upcloud", (TaskservUse("redis"), TaskservUse("nginx")))
    workflow = Workflow("w", "1", (batch, service, Command("c", ("true",))))
    operations = ("batch_workflow", "operations")
    expected = {
        ("s", ""): (*operations, 0),
        ("s/b", ""): (*operations, 0, "server_configs", 1),
        ("b", "plan"): (*operations, 0, "server_configs", 1, "plan"),
        ("t/nginx", ""): (*operations, 1, "taskservs", 1),
        ("t/added", ""): (*operations, 1, "taskservs"),
        ("t", "targets.1"): (*operations, 1, "targets", 1),
        ("c", ""): (*operations, 2),
        ("upcloud", ""): (*operations, 0, "provider"),
        ("storage_backend", ""): ("batch_workflow", "storage_backend"),
        ("nobody", ""): None,
    }
    found = {key: path_of(workflow, Diagnostic("x", "y", where=key[0], field=key[1])) for key in expected}
    assert found == expected
