"""The rules of docs/guardrails.md held to what the page says, and what rules get of a plan."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from batchwright.app.plan_policy_check import judge
from batchwright.loader import load_source
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.environment import EnvironmentKey, Resource
from batchwright.model.guardrail_limits import GuardrailLimits
from batchwright.model.plan import Plan
from batchwright.model.secret_reference import SecretReference
from batchwright.model.workflow import Changes, Dependency, Permission, Workflow
from batchwright.operations.command import Command
from batchwright.operations.taskserv_batch import TaskservBatch, TaskservUse
from batchwright.plan.impact import impact
from batchwright.plan.policy_data import policy_data
from batchwright.testing.plans import servers
from tests.unit.app.test_environment_state import done, kept, planned
from tests.unit.app.test_runs import House, housed

PAGE = (Path(__file__).parents[3] / "docs" / "guardrails.md").read_text()
RULES = {re.search(r"rules\.(\w+)", text)[1]: text for text in re.findall(r"```nickel\n(.*?)```", PAGE, re.DOTALL)}  # type: ignore[index]
EXPENSIVE = ["a: a costs more than 0.05 (rule small_outside_production)"]
Looked = tuple[Plan, tuple[Resource, ...]]
PRICED = GuardrailLimits(cost_per_hour={"EUR": 1e6, "USD": 1e6})
THURSDAY, FRIDAY = (datetime(2026, 7, day, 12, 30, tzinfo=UTC).timestamp() for day in (30, 31))


def shop(*names: str, labels: dict[str, str] | None = None, **rest: Any) -> Workflow:
    """Servers of these names in production, with postgresql where `variables` are given."""
    zone, plan = rest.pop("zone", "de-fra1"), rest.pop("plan", "1xCPU-2GB")
    variables = rest.pop("variables", None)
    up = servers("up", *names)
    configs = tuple(
        replace(one, zone=zone, plan=plan, labels={"owner": "ada"} if labels is None else labels)
        for one in up.server_configs
    )
    uses = () if variables is None else (TaskservUse("postgresql", variables),)
    database = (TaskservBatch("database", "upcloud", uses, (Dependency("up"),)),) if uses else ()
    asked = {"environment": "production", "storage_backend": "memory", "limits": PRICED, **rest}
    return Workflow("shop", "1", (replace(up, server_configs=configs), *database), **asked)


async def look(house: House, workflow: Workflow) -> Looked:
    key = EnvironmentKey("simulated", workflow.environment_name)
    return await planned(house, workflow), tuple((await kept(house, key)).values())


def looked(folder: Path, workflow: Workflow, *before: Workflow) -> Looked:
    """The plan of a workflow after runs of others, and what the environment had."""

    async def play(house: House) -> Looked:
        for one in before:
            await done(house, one)
        return await look(house, workflow)

    return housed(folder, play)


def verdict(
    folder: Path, rule: str, found: tuple[Plan, tuple[Resource, ...]], now: float = THURSDAY
) -> list[Diagnostic]:
    file = folder / "rule.ncl"
    file.write_text(RULES.get(rule, rule))
    plan, resources = found
    return judge(file, plan, policy_data(plan, impact(plan, resources), now), now)


def denied(folder: Path, rule: str, workflow: Workflow, *before: Workflow, now: float = THURSDAY) -> list[str]:
    """What a rule of the page denies, as the name of what it is about and the message."""
    found = verdict(folder, rule, looked(folder, workflow, *before), now)
    assert {one.code for one in found} <= {"policy-denied"}, found
    return [f"{one.where}: {one.message}" for one in found]


def test_the_page_has_five_rules() -> None:
    assert len(RULES) == 5


@pytest.mark.parametrize(
    ("workflow", "expected"),
    [
        (shop("a"), []),
        (shop("a", zone="us-nyc1"), ["a: a is in us-nyc1 (rule production_zones)"]),
        (shop("a", zone="us-nyc1", environment="staging"), []),
        (shop("a", zone="us-nyc1", environment=None), []),
    ],
)
def test_production_zones(tmp_path: Path, workflow: Workflow, expected: list[str]) -> None:
    assert denied(tmp_path, "production_zones", workflow) == expected


def test_what_leaves_a_forbidden_zone_may_leave(tmp_path: Path) -> None:
    retiring = Changes(retire=Permission.ALLOWED)
    before = shop("a", zone="us-nyc1"), shop("b")
    assert denied(tmp_path, "production_zones", shop("b", changes=retiring), *before) == []


def test_owner(tmp_path: Path) -> None:
    unowned = shop("a", "b", labels={})
    told = [f"{name}: {name} has no label `owner` (rule owner)" for name in ("a", "b")]
    assert denied(tmp_path / "1", "owner", unowned) == told
    assert denied(tmp_path / "2", "owner", shop("a")) == []
    assert denied(tmp_path / "3", "owner", shop("a", "b", labels={}), shop("a", labels={})) == told[1:]  # a is there


@pytest.mark.parametrize(
    ("workflow", "expected"),
    [
        (shop("a", environment="staging"), []),
        (shop("a", plan="8xCPU-32GB"), []),
        (shop("a", plan="8xCPU-32GB", environment="staging"), EXPENSIVE),
        (shop("a", environment="staging", limits=GuardrailLimits()), EXPENSIVE),
    ],
)  # fmt: skip
def test_small_outside_production(tmp_path: Path, workflow: Workflow, expected: list[str]) -> None:
    """The last one has no prices: what is not known counts as expensive."""
    assert denied(tmp_path, "small_outside_production", workflow) == expected


@pytest.mark.parametrize(
    ("variables", "is_open"),
    [
        ({}, False),
        ({"bind": "127.0.0.1", "allow": "10.0.0.0/8"}, False),
        ({"bind": "0.0.0.0"}, True),
        ({"bind": "::"}, True),
        ({"allow": "0.0.0.0/0"}, True),
    ],
)
def test_closed_postgresql(tmp_path: Path, variables: dict[str, Any], is_open: bool) -> None:
    told = ["a: postgresql on a is open to everybody (rule closed_postgresql)"]
    assert denied(tmp_path, "closed_postgresql", shop("a", variables=variables)) == (told if is_open else [])


@pytest.mark.parametrize(
    ("stage", "now", "retires", "is_denied"),
    [
        ("production", FRIDAY, True, True),
        ("production", FRIDAY + 86400, True, True),
        ("production", FRIDAY + 3 * 86400, True, False),
        ("production", FRIDAY - 3600, True, False),
        ("production", THURSDAY, True, False),
        ("production", FRIDAY, False, False),
        ("staging", FRIDAY, True, False),
    ],
)
def test_quiet_weekend(tmp_path: Path, stage: str, now: float, retires: bool, is_denied: bool) -> None:
    changes = Changes(retire=Permission.ALLOWED if retires else Permission.REFUSED)
    after = shop("a", environment=stage, changes=changes)
    told = ["policy: nothing is destroyed in production from Friday noon (UTC) until Monday (rule quiet_weekend)"]
    found = denied(tmp_path, "quiet_weekend", after, shop("a", "b", environment=stage), now=now)
    assert found == (told if is_denied else [])


# -- what a rule gets -----------------------------------------------------------------------------------------------


def data_of(found: Looked, now: float = FRIDAY) -> dict[str, Any]:
    plan, resources = found
    data: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(policy_data(plan, impact(plan, resources), now)))
    return data


def test_the_data_has_the_fields_of_the_page_and_no_others(tmp_path: Path) -> None:
    found = data_of(looked(tmp_path, shop("a", variables={})))
    table = PAGE.split("### What a rule gets")[1].split("\n### ")[0]
    rows = dict(re.findall(r"^\| (`.+?`) \| (.+) \|$", table, re.MULTILINE))
    named = {one for names in rows for one in re.findall(r"`(\w+)`", names)}
    assert set(found) == named
    for group in ("servers", "services"):
        assert set(found[group][0]) == set(re.findall(r"`(\w+)`", rows[f"`{group}`"]))
    assert set(found["counts"]) == set(re.findall(r"`(\w+)`", rows["`counts`"]))
    assert set(found["operations"][0]) == {"id", "type", "provider", "dependencies", "waves", "min_success"}


def test_what_a_rule_gets_of_a_plan(tmp_path: Path) -> None:
    changes = Changes(retire=Permission.ALLOWED, replace=Permission.ALLOWED)
    after = shop("a", "b", "d", zone="fi-hel1", changes=changes)
    found = data_of(looked(tmp_path, after, shop("a", "c"), shop("a", "c")))
    assert found["version"] == 1
    assert (found["workflow"], found["environment"], found["stage"]) == ("shop", "shop/production", "production")
    assert (found["simulated"], found["now"]) == (
        True,
        {"date": "2026-07-31", "weekday": "Friday", "hour": 12, "minute": 30},
    )
    assert {one["name"]: one["change"] for one in found["servers"]} == {
        "a": "replace", "b": "create", "d": "create", "c": "retire",
    }  # fmt: skip
    counts = {name: number for name, number in found["counts"].items() if number}
    assert counts == {"before": 2, "after": 3, "destroyed": 2, "create": 2, "replace": 1, "retire": 1}
    assert found["cost"] == {"per_hour": {"EUR": pytest.approx(3 * 0.0193)}, "known": True}
    one = next(one for one in found["servers"] if one["name"] == "b")
    assert (one["zone"], one["plan"], one["image"], one["labels"]) == (
        "fi-hel1",
        "1xCPU-2GB",
        "debian-12",
        {"owner": "ada"},
    )
    assert one["cost"] == {"per_hour": 0.0193, "currency": "EUR"}


def test_secrets_are_references_and_user_data_is_not_told(tmp_path: Path) -> None:
    secret = SecretReference(env="DATABASE_PASSWORD")
    workflow = shop("a", variables={"database": "shop", "password": secret})
    up = workflow.operations[0]
    (config,) = up.server_configs  # type: ignore[attr-defined]
    up = replace(up, server_configs=(replace(config, user_data="#!/bin/sh\necho hidden"),))  # type: ignore[type-var]
    tell = Command("tell", ("/bin/true", "x"), env={"TOKEN": SecretReference(file="/run/token")})
    found = data_of(looked(tmp_path, replace(workflow, operations=(up, *workflow.operations[1:], tell))))
    assert found["services"][0]["variables"]["password"] == {"env": "DATABASE_PASSWORD"}
    assert found["commands"][0]["env"] == {"TOKEN": {"file": "/run/token"}}
    assert found["commands"][0]["run"][1:] == ["x"]
    assert "hidden" not in str(found)


@pytest.mark.parametrize(
    "text", ['" ++ std.fail_with "x', '%{std.fail_with "x"}', 'import "/etc/passwd"', "}; { rules = {} }"]
)
def test_a_label_that_looks_like_nickel_is_a_text(tmp_path: Path, text: str) -> None:
    rule = """{ rules.labels = { warn = fun plan =>
      plan.servers |> std.array.map (fun one => { message = "owner is %{one.labels.owner}", at = one.name }) } }"""
    (found,) = verdict(tmp_path, rule, looked(tmp_path, shop("a", labels={"owner": text})))
    assert (found.message, found.where, found.severity) == (f"owner is {text} (rule labels)", "a", Severity.WARNING)


def test_such_a_label_passes_through_a_whole_file_and_back(tmp_path: Path) -> None:
    text = """{ batch_workflow = { name = "shop", version = "1", storage_backend = "filesystem", operations = [{
      id = "up", type = "server_batch", provider = "upcloud", server_configs = [{
        name = "a", plan = "1xCPU-2GB", zone = "de-fra1", labels = { owner = "%" ++ "{1 + 1}" } }] }] } }"""
    loaded = load_source(text, "shop.ncl")
    assert loaded.workflow is not None
    workflow = replace(loaded.workflow, storage_backend="memory")
    rule = "{ rules.labels = { warn = fun plan => std.array.map (fun one => one.labels.owner) plan.servers } }"
    (found,) = verdict(tmp_path, rule, looked(tmp_path, workflow))
    assert found.message == "%{1 + 1} (rule labels)"


# -- what cannot be judged ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "code", "told"),
    [
        ("{ rules.a = { deny = 3 } }", "policy-invalid", "the policy rule.ncl has 1 mistake, so no plan is accepted"),
        ("{ rules.a = { warn = fun plan => plan.nothing } }", "policy-failed", "the rule a cannot be evaluated"),
        ("{ rules.a = { warn = fun plan => 7 } }", "policy-failed", "the rule a cannot be used"),
        (
            '{ rules.a = { deny = fun plan => [], from = "2026-02-30" } }',
            "policy-invalid",
            "a day that no calendar has",
        ),
    ],
)
def test_a_policy_that_cannot_be_used_refuses_the_plan(tmp_path: Path, rule: str, code: str, told: str) -> None:
    found = verdict(tmp_path, rule, looked(tmp_path, shop("a")))
    assert (found[0].code, found[0].severity) == (code, Severity.ERROR)
    assert told in found[0].message


def test_a_policy_file_that_is_not_there_refuses_the_plan(tmp_path: Path) -> None:
    plan, resources = looked(tmp_path, shop("a"))
    (found,) = judge(tmp_path / "gone.ncl", plan, policy_data(plan, impact(plan, resources), FRIDAY), FRIDAY)
    assert (found.code, found.severity) == ("policy-invalid", Severity.ERROR)
    assert "the policy gone.ncl cannot be used" in found.message
