"""A plan file holds its plan exactly, and every damage to it is found."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from batchwright.app.plan_files import is_plan_file, read_plan_file, write_plan_file
from batchwright.engine.machine import Machine
from batchwright.errors import PlanFileInvalid, UsageError
from batchwright.model.actions import Action, Undo
from batchwright.model.environment import Resource, digest
from batchwright.model.events import DriverStarted, RunCreated
from batchwright.model.plan import Before, Need, Plan, Retired, Step
from batchwright.model.run import Run
from batchwright.model.run_provenance import InputFile, RunInputs
from batchwright.model.workflow import Dependency
from batchwright.plan.plan_file import MAGIC, PlanBasis, PlanFile, decode, encode
from batchwright.plan.plan_soundness import plan_flaws, record_flaws
from batchwright.testing.plans import command, plan_of, servers, workflow
from batchwright.views.plan import plan_view
from tests.property.test_plan import Case, any_speed, planned
from tests.support.examples import share

WEB = Resource("server", "web", provider="upcloud", ref="ref-1", run="run-1", token="token-1")
INPUTS = RunInputs((InputFile("shop.ncl", "aa"),), {"n": "2"}, revision="c0ffee", clean=True, folder="/srv", by="ada")
BASIS = PlanBasis(INPUTS, "0123", (WEB,), 3)
FLOW = workflow(servers("up", "a", "b"), command("go", "make", after=("up",)))
PLAN = replace(plan_of(FLOW, {}), base=digest(BASIS.resources))
CONTENT = encode(PlanFile(PLAN, BASIS, 1.0, "0.1.0"))


@any_speed
@given(planned())
def test_what_is_written_is_read(case: Case) -> None:
    file = PlanFile(case.plan, PlanBasis(INPUTS), 12.5, "0.1.0")
    read = decode(encode(file))
    assert read == file
    assert read.plan.hash() == case.plan.hash()
    assert plan_flaws(read.plan) == (), "what the planner makes has no flaws"


@settings(max_examples=share(400))
@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255))
def test_every_changed_byte_is_found(at: int, by: int) -> None:
    damaged = bytearray(CONTENT)
    damaged[at] ^= by
    if damaged[: len(MAGIC)] == MAGIC:
        with pytest.raises(PlanFileInvalid, match="plan file"):
            decode(bytes(damaged))


@settings(max_examples=share(200))
@given(st.integers(0, len(CONTENT) - 1), st.binary(min_size=1, max_size=9))
def test_a_file_that_is_cut_or_grew_is_found(length: int, more: bytes) -> None:
    for damaged in (CONTENT[:length], CONTENT + more, CONTENT[:length] + more + CONTENT[length:]):
        with pytest.raises(PlanFileInvalid):
            decode(damaged)


VALUES = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "up", "up/a", "keep", "retire"])


@settings(max_examples=share(1_000), deadline=None)
@given(st.randoms(use_true_random=False), VALUES | st.lists(VALUES, max_size=2))
def test_what_somebody_writes_by_hand_is_refused_or_a_plan_that_can_be_shown(random: Random, value: object) -> None:
    """The digest proves nothing: it can be computed by anybody."""
    content = msgspec.json.decode(CONTENT.partition(b"\n")[2])
    place, key = content, "plan"
    while isinstance(place[key], dict | list) and place[key] and (place is content or random.random() < 0.85):
        place = place[key]
        key = random.choice(sorted(place)) if isinstance(place, dict) else random.randrange(len(place))
    place[key] = value
    try:
        plan = decode(encode(content)).plan
    except PlanFileInvalid:
        return
    if not plan_flaws(plan):
        plan_view(plan)
        record_flaws(plan, [WEB])
        machine, permits = Machine(Run(RunCreated(1.0, "run", plan))), {op.lane: 9 for op in plan.operations}
        machine.apply(DriverStarted(1.0, "here:1:1", 1))
        for _ in range(3):
            for event in machine.decide(2.0, permits):
                machine.apply(event)


def test_it_says_what_is_wrong() -> None:
    def why(content: bytes) -> str:
        with pytest.raises(PlanFileInvalid) as refused:
            decode(content)
        assert "--out PLANFILE" in refused.value.hint
        return refused.value.message

    size = len(CONTENT.partition(b"\n")[2])
    assert why(CONTENT[:-5]) == f"the plan file is cut off: {size - 5:,} bytes instead of {size:,}"
    assert why(CONTENT + b" ") == f"the plan file is too long: {size + 1:,} bytes instead of {size:,}"
    assert "was edited" in why(CONTENT.replace(b'"make"', b'"fake"'))
    assert "version 7 of the format" in why(CONTENT.replace(b"plan 1 ", b"plan 7 ", 1))
    assert "first line" in why(CONTENT[:30])
    assert "other resources" in why(encode(PlanFile(replace(PLAN, base="none"), BASIS, 1.0, "0.1.0")))
    assert "cannot be read" in why(encode({"plan": {}}))  # type: ignore[arg-type]


def test_the_file_is_private_and_replaces_only_a_plan(tmp_path: Path) -> None:
    file = tmp_path / "shop.plan"
    for plan in (PLAN, replace(PLAN, version="2")):
        write_plan_file(file, plan, BASIS, 1.0)
        assert read_plan_file(file).content.plan == plan
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["shop.plan"]
    workflow = tmp_path / "shop.ncl"
    workflow.write_text("{}")
    with pytest.raises(UsageError, match="not a plan"):
        write_plan_file(workflow, PLAN, BASIS, 1.0)
    with pytest.raises(UsageError, match="No such file"):
        write_plan_file(tmp_path / "none" / "shop.plan", PLAN, BASIS, 1.0)
    assert not is_plan_file(workflow)
    assert not is_plan_file(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert not any(is_plan_file(place) for place in (tmp_path, tmp_path / "pipe", Path("a\0b")))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


STEP, OTHER, LAST = PLAN.steps
BAD: dict[str, Plan] = {
    "rules of version 1": replace(PLAN, semantics=1),
    "name of its environment": replace(PLAN, environment="../shop"),
    "parallel_limit is 0": replace(PLAN, parallel_limit=0),
    "the provider upcloud stands in it twice": replace(PLAN, providers=PLAN.providers * 2),
    "the step up/a stands in it twice": replace(PLAN, steps=(STEP, STEP)),
    "the operation up stands in it twice": replace(PLAN, operations=(*PLAN.operations, PLAN.operations[0])),
    "unknown type": replace(PLAN, operations=(replace(PLAN.operations[0], type="magic"), PLAN.operations[1])),
    "uses the limits of": replace(PLAN, operations=(replace(PLAN.operations[0], lane="aws"), PLAN.operations[1])),
    "no time or no attempts": replace(PLAN, operations=(replace(PLAN.operations[0], timeout=0), PLAN.operations[1])),
    "depends on none": replace(
        PLAN, operations=(replace(PLAN.operations[0], dependencies=(Dependency("none"),)), PLAN.operations[1])
    ),
    "operations wait for one another": replace(
        PLAN, operations=(replace(PLAN.operations[0], dependencies=(Dependency("go"),)), PLAN.operations[1])
    ),
    "steps wait for one another": replace(PLAN, steps=(replace(STEP, needs=(Need(STEP.id),)), OTHER, LAST)),
    "belongs to no operation": replace(PLAN, steps=(replace(STEP, operation="go"), OTHER, LAST)),
    "not in its operation": replace(PLAN, steps=(replace(STEP, needs=(Need(LAST.id),)), OTHER, LAST)),
    "no server of the plan": replace(PLAN, steps=(STEP, OTHER, replace(LAST, server=LAST.id))),
    "of which the plan says nothing": replace(PLAN, providers=()),
    "up/a cannot keep": replace(PLAN, steps=(replace(STEP, action=Action.KEEP), OTHER, LAST)),
    "up/a cannot retire": replace(PLAN, steps=(replace(STEP, action=Action.RETIRE), OTHER, LAST)),
    "up/a cannot install": replace(PLAN, steps=(replace(STEP, action=Action.INSTALL), OTHER, LAST)),
    "go/run cannot create": replace(PLAN, steps=(STEP, OTHER, replace(LAST, action=Action.CREATE))),
}


@pytest.mark.parametrize("words", BAD)
def test_a_plan_that_no_planner_makes_is_refused(words: str, tmp_path: Path) -> None:
    assert any(words in flaw for flaw in plan_flaws(BAD[words])), plan_flaws(BAD[words])
    file = tmp_path / "shop.plan"
    write_plan_file(file, BAD[words], BASIS, 1.0)
    with pytest.raises(PlanFileInvalid, match="no planner makes") as refused:
        read_plan_file(file)
    assert refused.value.diagnostics


def retiring(**fields: Any) -> Plan:
    retired = Retired(**{"key": WEB.key, "run": WEB.run, "token": WEB.token, **fields.pop("retired", {})})
    plain = replace(STEP, action=Action.RETIRE, undo=Undo.NOTHING, ref=WEB.ref, provider="upcloud", retired=retired)
    return replace(PLAN, steps=(replace(plain, **fields),))


def updating(**fields: Any) -> Plan:
    before = Before(STEP.request, **{"run": WEB.run, "token": WEB.token, **fields})
    step: Step = replace(STEP, action=Action.UPDATE, undo=Undo.RESTORE, ref=WEB.ref, before=before)
    return replace(PLAN, steps=(step,))


def test_only_what_the_environment_has_under_the_same_labels_is_retired_or_changed() -> None:
    assert record_flaws(retiring(), [WEB]) == ()
    assert record_flaws(updating(), [WEB]) == ()
    assert "does not have" in record_flaws(retiring(), [])[0]
    assert "does not have" in record_flaws(updating(), [replace(WEB, ref="ref-2")])[0]
    for other in ({"run": "foreign"}, {"token": "foreign"}):
        assert "other labels" in record_flaws(retiring(retired=other), [WEB])[0]
        assert "other labels" in record_flaws(updating(**other), [WEB])[0]
    assert "other labels" in record_flaws(retiring(provider="aws"), [WEB])[0]
    assert "retires ref-2, and web is ref-1" in record_flaws(retiring(ref="ref-2"), [WEB])[0]
