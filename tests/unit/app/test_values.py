"""Values over several runs: what the plan knows, what servers and programs are given, what is kept and brought back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from batchwright.app.environment_destroy import plan_destruction
from batchwright.app.environment_reader import find_home
from batchwright.model.actions import Action
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import FieldChange
from batchwright.model.templates import PlannedValue
from batchwright.model.workflow import Dependency, Workflow
from batchwright.operations.taskserv_batch import TaskservBatch, TaskservUse
from batchwright.providers.simulated import SimulatedLauncher, SimulatedRunner
from batchwright.testing.plans import command, servers
from batchwright.views.plan import plan_view
from batchwright.views.planned_changes import Symbol
from tests.unit.app.test_environment_state import SIMULATION, check_kept, done, kept, planned
from tests.unit.app.test_install_restore import vanish
from tests.unit.app.test_runs import House, housed
from tests.unit.app.test_server_update import server

ADDRESS = "servers.db-1.address"


def flow(bind: str = f"${{{ADDRESS}}}", *more: Any) -> Workflow:
    """A database's server, and nginx on another that is told its address."""
    nginx = TaskservUse("nginx", {"bind": bind})
    web = TaskservBatch("web", "upcloud", (nginx,), (Dependency("up"), Dependency("db")), ("up",))
    return Workflow("shop", "1", (servers("db", "db-1"), servers("up", "a"), web, *more), storage_backend="memory")


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Any]]:
    """What is carried out: the verb, the step or server, and the request."""
    calls: list[tuple[str, str, Any]] = []
    for kind, name in ((SimulatedRunner, "install"), (SimulatedRunner, "remove"), (SimulatedLauncher, "launch")):
        real = getattr(kind, name)

        async def call(self: Any, request: Any, on: Any, *rest: Any, name: str = name, real: Any = real) -> Any:
            calls.append((name, request.name, request))
            return await real(self, request, on, *rest)

        monkeypatch.setattr(kind, name, call)
    return calls


def test_an_address_is_known_once_its_server_is_there_and_is_compared_then(
    tmp_path: Path, given: list[tuple[str, str, Any]]
) -> None:
    """I8: right after a good run nothing is left to do. A server that is made anew has another address."""

    async def play(house: House) -> None:
        first = await planned(house, flow())
        assert first.values == (PlannedValue(ADDRESS, None, "db-1"),)
        assert replace(first, values=()).hash() == first.hash()
        view = plan_view(first)
        assert [(one.value, one.when) for one in view.values] == [(None, "known when db-1 is there")]
        run = await done(house, flow())
        address = server(house, "db-1").address
        assert run.values == {"web": {ADDRESS: address}}
        assert [(verb, request.values) for verb, _, request in given] == [("install", {ADDRESS: address})]
        again = await planned(house, flow())
        assert again.values == (PlannedValue(ADDRESS, address, "db-1"),)
        assert {step.action for step in again.steps} == {Action.KEEP}
        vanish(house, "db-1")
        third = await planned(house, flow())
        changes = (FieldChange("variables.bind", address, f"${{{ADDRESS}}}", known=False),)
        assert [step.changes for step in third.steps if step.server] == [changes]
        view = plan_view(third)
        assert view.difference[Symbol.MAYBE] == 1
        (line,) = [line for line in view.lines if line.symbol is Symbol.MAYBE]
        assert line.details == (f"bind {address} -> ${{{ADDRESS}}}, known when db-1 is there",)
        await check_kept(house)

    housed(tmp_path, play)


def test_what_stood_there_comes_back_with_the_values_it_had(tmp_path: Path, given: list[tuple[str, str, Any]]) -> None:
    """Also when the server that they came from is gone."""

    async def play(house: House) -> None:
        await done(house, flow())
        address = server(house, "db-1").address
        vanish(house, "db-1")
        run = await done(house, flow())
        now = server(house, "db-1").address
        assert now != address
        assert run.values["web"] == {ADDRESS: now}
        assert (await kept(house))["taskserv/a/nginx"].request["values"] == {ADDRESS: now}
        given.clear()
        rolled = await house.rollback(run.id, "ada")
        assert rolled.status is RunState.ROLLED_BACK
        assert [(verb, request.values) for verb, _, request in given] == [("install", {ADDRESS: address})]
        assert (await kept(house))["taskserv/a/nginx"].request["values"] == {ADDRESS: address}
        await check_kept(house)

    housed(tmp_path, play)


@pytest.mark.parametrize(("bind", "changes"), [
    ("10.9.9.9", [FieldChange("variables.bind", "OLD", "10.9.9.9")]),
    ("${servers.a.address}", [FieldChange("variables.bind", "OLD", "NEW")]),
])  # fmt: skip
def test_another_value_or_another_reference_is_a_change(bind: str, changes: list[FieldChange], tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, flow())
        known = {"OLD": server(house, "db-1").address, "NEW": server(house, "a").address}
        plan = await planned(house, flow(bind))
        (step,) = [step for step in plan.steps if step.server]
        shown = [replace(one, old=known["OLD"], new=known.get(one.new or "", one.new)) for one in changes]
        assert list(step.changes) == shown

    housed(tmp_path, play)


def test_a_command_gives_values_and_is_undone_with_those_it_had(
    tmp_path: Path, given: list[tuple[str, str, Any]]
) -> None:
    """In the run that rolls it back, and in one that destroys the environment later."""
    more = (
        command("give", "migrate", after=["db"], outputs=("url",)),
        command("use", "tell", "${outputs.give.url}", undo=["forget", f"${{outputs.give.url}} ${{{ADDRESS}}} $${{x}}"],
                after=["give"]),
        command("on", "tell", "${server.name}", undo=["forget", "${server.address}"], after=["up"], targets=("a",)),
    )  # fmt: skip

    async def play(house: House) -> None:
        run = await done(house, flow("10.0.0.1", *more))
        db, a = (server(house, name).address for name in ("db-1", "a"))
        told = {request.run for verb, name, request in given if verb == "launch" and name == "tell"}
        assert told == {("tell", "simulated-url"), ("tell", "a")}
        values = {"outputs.give.url": "simulated-url", ADDRESS: db}
        assert run.values == {"use": values}
        assert (await kept(house))["command//use"].request["values"] == values
        undone = {("forget", f"simulated-url {db} ${{x}}"), ("forget", a)}
        given.clear()
        async with house.runs.adapters(SIMULATION) as around:
            home = await find_home(house.stores, "shop", simulated=True)
            plan = await plan_destruction(house.settings, around, home)
        assert plan.plan is not None, plan.diagnostics
        ended = await house.runs.drive(await house.runs.create(plan.plan, "ada")).finished()
        assert ended.status is RunState.COMPLETED
        assert {request.undo for verb, _, request in given if verb == "launch"} == undone

    housed(tmp_path, play)
