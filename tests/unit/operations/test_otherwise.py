"""The example of docs/placement.md: planned, run where there is no room, shown, planned again, rolled back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.engine.stage import Stage, undo

from batchwright.loader import load
from batchwright.model import events as ev
from batchwright.model.lifecycle import RunState
from batchwright.model.price import Price
from batchwright.model.workflow import Workflow
from batchwright.plan import build
from batchwright.plan.impact import cost_at_worst, impact
from batchwright.testing.plans import empty_world
from batchwright.testing.virtual_clock import run_virtual
from batchwright.views.definition import definition
from batchwright.views.plan import plan_view
from batchwright.views.run import run_view
from batchwright.views.step_explanation import explain

DOCS = Path(__file__).parents[3] / "docs/placement.md"
OFFERS = [
    ("upcloud", "1xCPU-2GB", "de-fra1"),
    ("upcloud", "1xCPU-2GB", "nl-ams1"),
    ("upcloud", "2xCPU-4GB", "de-fra1"),
    ("aws", "t3.small", "eu-central-1"),
]


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    example = re.search(r"```nickel\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert example is not None
    path = tmp_path_factory.mktemp("farm") / "farm.ncl"
    path.write_text(example[1])
    loaded = load(path)
    assert loaded.workflow is not None, loaded.diagnostics
    return loaded.workflow


def stage_of(farm: Workflow, **settings: Any) -> Stage:
    plan = build(farm, {}, empty_world(farm)).plan
    assert plan is not None
    return Stage(settings=settings, plan=plan)


def test_its_definition_says_what_the_file_says(farm: Workflow) -> None:
    [written] = definition(farm)["operations"]
    assert written["otherwise"][:2] == [{"zone": "nl-ams1"}, {"plan": "2xCPU-4GB"}]
    assert written["otherwise_on"] == ["capacity", "quota"]


def test_the_plan_shows_the_alternatives_and_what_they_cost_at_most(farm: Workflow) -> None:
    plan = build(farm, {}, empty_world(farm)).plan
    assert plan is not None
    view = plan_view(plan)
    assert (
        "w-1 and w-2: if there is no room or the account is at its limit, upcloud 1xCPU-2GB nl-ams1, "
        "else upcloud 2xCPU-4GB de-fra1, else aws t3.small eu-central-1" in view.notes
    )
    assert [one.zone for one in view.steps[0].alternatives] == ["nl-ams1", "de-fra1", "eu-central-1"]
    told = (("EUR", 0.01), ("EUR", 0.02), ("EUR", 0.03), ("USD", 0.05))
    prices = tuple(Price(*offer, amount, currency) for offer, (currency, amount) in zip(OFFERS, told, strict=True))
    assert cost_at_worst([OFFERS] * 2, dict(zip(OFFERS, prices, strict=True))) == {"EUR": 0.06, "USD": 0.1}
    made = impact(replace(plan, prices=prices), ())
    assert (made.cost, made.cost_most, made.unpriced) == ({"EUR": 0.02}, {"EUR": 0.06, "USD": 0.1}, ())


def test_servers_go_where_there_is_room_and_every_view_says_where(farm: Workflow) -> None:
    stage = stage_of(farm, **{"upcloud.fail": "w-1=capacity"})

    async def play() -> None:
        run = await stage.drive()
        assert run.status is RunState.COMPLETED
        view = run_view(run, stage.clock.now())
        assert {one.name: (one.provider, one.zone, one.plan) for one in view.servers} == {
            "w-1": ("aws", "eu-central-1", "t3.small"),
            "w-2": ("upcloud", "de-fra1", "1xCPU-2GB"),
        }
        assert {one.name: (one.done, one.total) for one in view.providers} == {"upcloud": (1, 1), "aws": (1, 1)}
        assert {type(number) for one in view.providers for number in (one.done, one.total, one.failed)} == {int}
        told = explain(run, await stage.history(), "workers/w-1", stage.clock.now())
        assert told.provider == "aws"
        assert sum("instead" in link.text for link in told.chain) == 3
        assert len(await stage.events(ev.StepMoved)) == 3
        back = await stage.drive(undo)
        assert back.status is RunState.ROLLED_BACK
        assert await stage.names() == {}
        assert {one.name: (one.done, one.total) for one in run_view(back, stage.clock.now()).providers} == {
            "upcloud": (1, 1), "aws": (1, 1),
        }  # fmt: skip

    run_virtual(play())
