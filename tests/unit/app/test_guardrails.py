"""Guardrails at every door: the plan, the destroy of an environment, what is about to be run, and each create."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from batchwright.app.guardrail_settings import Guardrails, guardrails_now, guardrails_of
from batchwright.app.planned import Planned
from batchwright.app.plans import plan_loaded
from batchwright.app.runs import Runs
from batchwright.errors import ConfigInvalid
from batchwright.loader import Loaded
from batchwright.model.actions import Action
from batchwright.model.guardrail_limits import GuardrailLimits
from batchwright.model.workflow import Changes, Permission, Workflow
from batchwright.operations.server_batch import ServerBatch
from batchwright.plan.impact import impact
from batchwright.plan.policy_data import policy_data
from batchwright.providers.simulated import Simulated
from batchwright.testing.plans import servers
from tests.unit.app.test_adopt import adopting, foreign
from tests.unit.app.test_environment_state import SIMULATION, done, planned, shop
from tests.unit.app.test_runs import House, housed

PRICE = 0.0193  # of the plan of `servers`, in EUR
RETIRING = Changes(retire=Permission.ALLOWED)
REPLACING = Changes(replace=Permission.ALLOWED)


def limits(**given: Any) -> GuardrailLimits:
    return GuardrailLimits(**given)


def set_limits(house: House, text: str) -> None:
    """What the operator writes into config.toml, now; the house's processes read it from now on."""
    file = house.settings.state_dir / "config.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    if house.settings.config_file is None:
        house.settings = replace(house.settings, config_file=file)
        house.runs = Runs(house.settings, house.stores, house.clock, house.limits)


def but(workflow: Workflow, **fields: Any) -> Workflow:
    """The workflow with other fields of its servers."""
    batch, *others = workflow.operations
    assert isinstance(batch, ServerBatch)
    configs = tuple(replace(config, **fields) for config in batch.server_configs)
    return replace(workflow, operations=(replace(batch, server_configs=configs), *others))


async def looked(house: House, workflow: Workflow) -> Planned:
    async with house.runs.adapters(SIMULATION) as around:
        return await plan_loaded(house.settings, house.stores, around, Loaded(workflow), SIMULATION)


def codes(found: Planned) -> list[str]:
    return [f"{one.code} {one.field}" for one in found.diagnostics if one.severity.value == "error"]


# -- the plan -------------------------------------------------------------------------------------------------------


def test_the_file_limits_the_servers_that_the_environment_would_have(tmp_path: Path) -> None:
    """Not only those that the run creates."""

    async def play(house: House) -> None:
        two = limits(servers=2)
        await done(house, shop("a", "b", limits=two))
        found = await looked(house, shop("a", "c", limits=two))  # b stays
        assert codes(found) == ["limit-exceeded servers"]
        assert found.plan is None
        assert codes(await looked(house, shop("a", "c", limits=two, changes=RETIRING))) == []
        await done(house, shop("a", "c", limits=two, changes=RETIRING))
        assert house.alive() == ["a", "c"]
        assert codes(await looked(house, shop("a", limits=limits(servers=0)))) == []  # nothing is created

    housed(tmp_path, play)


def test_servers_of_another_environment_do_not_count(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        borrowing = shop("a", "b", "c", environment="staging", limits=limits(servers=1))
        assert codes(await looked(house, borrowing)) == []
        await done(house, borrowing)
        grown = shop("a", "b", "c", "d", environment="staging", limits=limits(servers=1))
        assert codes(await looked(house, grown)) == ["limit-exceeded servers"]

    housed(tmp_path, play)


def test_a_server_that_is_taken_over_counts(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await foreign(house, "a")
        assert codes(await looked(house, replace(adopting("a"), limits=limits(servers=0)))) == [
            "limit-exceeded servers"
        ]
        plan = await planned(house, replace(adopting("a"), limits=limits(servers=1)))
        assert policy_data(plan, impact(plan, ()), 0.0)["servers"][0]["change"] == "adopt"
        await done(house, replace(adopting("a"), limits=limits(servers=1)))
        assert codes(await looked(house, shop("a", limits=limits(servers=0)))) == []  # it is there by now

    housed(tmp_path, play)


def test_cost_counts_what_is_there_already(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        enough, tight = limits(cost_per_hour={"EUR": 3 * PRICE}), limits(cost_per_hour={"EUR": 3 * PRICE - 0.001})
        await done(house, shop("a", "b"))
        plan = await planned(house, shop("a", "b", "c", limits=enough))
        assert [(one.plan, one.per_hour, one.currency) for one in plan.prices] == [("1xCPU-2GB", PRICE, "EUR")]
        found = await looked(house, shop("a", "b", "c", limits=tight))
        assert codes(found) == ["limit-exceeded cost_per_hour"]
        found = await looked(house, shop("c", limits=tight))  # a and b stay, though the file does not name them
        assert codes(found) == ["limit-exceeded cost_per_hour"]
        assert codes(await looked(house, shop("a", "b", limits=tight))) == []

    housed(tmp_path, play)


def test_prices_change_no_hash_and_are_asked_for_only_where_they_decide(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        bare = await planned(house, shop("a"))
        priced = await planned(house, shop("a", limits=limits(cost_per_hour={"EUR": 1.0})))
        assert bare.prices == ()
        assert priced.prices != ()
        assert bare.hash() == priced.hash()

    housed(tmp_path, play)


@pytest.mark.parametrize("quote", ["none", "fails"])
def test_a_price_that_is_not_known_is_an_error_and_never_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quote: str
) -> None:
    async def quoted(_self: Simulated, _requests: object) -> None:
        if quote == "fails":
            raise OSError("no price list today")

    monkeypatch.setattr(Simulated, "quote", quoted)

    async def play(house: House) -> None:
        found = await looked(house, shop("a", limits=limits(cost_per_hour={"EUR": 1.0})))
        assert codes(found) == ["limit-unchecked cost_per_hour"]
        assert ("no price list today" if quote == "fails" else "does not publish") in found.diagnostics[-1].message
        assert codes(await looked(house, shop("a", limits=limits(servers=1)))) == []

    housed(tmp_path, play)


def test_a_server_that_is_changed_in_place_costs_what_it_becomes(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        tight = limits(cost_per_hour={"EUR": 3 * PRICE}, servers=1, destroys=0)
        larger = but(shop("a", "b", limits=tight, changes=REPLACING), plan="2xCPU-4GB")  # 0.0387 each
        assert codes(await looked(house, larger)) == ["limit-exceeded cost_per_hour"]
        enough = replace(larger, limits=limits(cost_per_hour={"EUR": 4 * PRICE + 0.001}, servers=1, destroys=0))
        actions = [step.action for step in (await planned(house, enough)).steps if step.id.startswith("up/")]
        assert actions == [Action.UPDATE, Action.UPDATE]
        await done(house, but(shop("a", "b", changes=REPLACING), plan="2xCPU-4GB"))
        cheap = limits(cost_per_hour={"EUR": 0.0})
        smaller = but(shop("a", "b", limits=cheap, changes=REPLACING), plan="1xCPU-2GB")
        assert codes(await looked(house, smaller)) == []  # it becomes less

    housed(tmp_path, play)


def test_servers_of_this_machine_cost_nothing(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        here = Workflow("shop", "1", (servers("up", "a", provider="local"),), storage_backend="memory")
        found = await looked(house, replace(here, limits=limits(cost_per_hour={"EUR": 0.0})))
        assert codes(found) == []
        assert found.quotes == {}

    housed(tmp_path, play)


def test_two_currencies_are_not_added(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        aws = replace(servers("there", "b", provider="aws"), server_configs=(
            replace(servers("there", "b").server_configs[0], zone="eu-central-1"),
        ))  # fmt: skip
        both = Workflow("shop", "1", (servers("up", "a"), aws), storage_backend="memory")
        found = await looked(house, replace(both, limits=limits(cost_per_hour={"EUR": 100.0})))
        assert codes(found) == ["limit-unchecked cost_per_hour"]
        assert "0.0208 USD" in found.diagnostics[-1].message
        assert codes(await looked(house, replace(both, limits=limits(cost_per_hour={"EUR": 1.0, "USD": 1.0})))) == []

    housed(tmp_path, play)


def test_destroys_counts_what_is_retired_and_what_is_replaced(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b", "c"))
        one = limits(destroys=1)
        assert codes(await looked(house, shop("a", "b", limits=one, changes=RETIRING))) == []
        assert codes(await looked(house, shop("a", limits=one, changes=RETIRING))) == ["limit-exceeded destroys"]
        assert codes(await looked(house, shop("a", limits=one))) == []  # b and c stay
        elsewhere = but(shop("a", "b", "c", limits=one, changes=REPLACING), zone="fi-hel1")
        assert codes(await looked(house, elsewhere)) == ["limit-exceeded destroys"]

    housed(tmp_path, play)


def test_what_somebody_else_destroyed_is_not_counted(tmp_path: Path) -> None:
    """Else such an environment could never be planned again."""

    async def play(house: House) -> None:
        await done(house, shop("a", "b", "c"))
        async with house.runs.adapters(SIMULATION) as around:
            await around.open(["upcloud"], set())
            for ref in [one.ref for one in await around.providers["upcloud"].find() if one.name != "a"]:
                while str(type(await around.providers["upcloud"].destroy(ref)).__name__) != "Gone":
                    await house.clock.sleep(1.0)
        await house.clock.sleep(3600.0)
        plan = await planned(house, shop("a", limits=limits(destroys=0)))
        assert [step.gone for step in plan.steps if step.retired is not None] == [True, True]
        anew = shop("a", "b", "c", limits=limits(servers=2))  # one server is there, and the limit is two
        assert codes(await looked(house, anew)) == ["limit-exceeded servers"]
        assert codes(await looked(house, replace(anew, limits=limits(servers=3)))) == []

    housed(tmp_path, play)


# -- the operator ---------------------------------------------------------------------------------------------------


def test_the_stricter_of_file_and_operator_holds(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        set_limits(house, "[limits]\nservers = 1\n")
        found = await looked(house, shop("a", "b", limits=limits(servers=5)))
        assert codes(found) == ["limit-exceeded servers"]
        assert "config.toml sets limits.servers = 1" in found.diagnostics[-1].message
        set_limits(house, "[limits]\nservers = 9\n")
        found = await looked(house, shop("a", "b", limits=limits(servers=1)))
        assert "the workflow sets limits.servers = 1" in found.diagnostics[-1].message

    housed(tmp_path, play)


def test_limits_of_one_environment_replace_those_of_all(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        set_limits(house, '[limits]\nservers = 1\n[limits."shop/production"]\nservers = 2\n')
        assert codes(await looked(house, shop("a", "b"))) == ["limit-exceeded servers"]
        assert codes(await looked(house, shop("a", "b", environment="production"))) == []
        found = await looked(house, shop("a", "b", "c", environment="production"))
        assert 'config.toml sets limits."shop/production".servers = 2' in found.diagnostics[-1].message

    housed(tmp_path, play)


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        ("limits = 3", "`limits` is a table", "docs/guardrails.md"),
        ("[limits]\nserver = 3", "no limit `server`", "Did you mean servers?"),
        ("[limits]\nservers = -1", "servers is -1", "docs/guardrails.md"),
        ("[limits]\nservers = 'two'", "Expected `int", "docs/guardrails.md"),
        ("[limits]\ncost_per_hour = 5", "at `limits.cost_per_hour`", "cost_per_hour = { EUR = 0.5 }"),
        ("[limits]\ncost_per_hour = { euro = 5 }", "'euro', which is no currency", "cost_per_hour"),
        ('[limits."shop"]\ndestroy = 5', "unknown field `destroy`", "docs/guardrails.md"),
        ("policy = 3", "`policy` is the path of a file", "docs/guardrails.md"),
    ],
)
def test_mistakes_in_the_configuration_are_told(text: str, told: str, hint: str) -> None:
    with pytest.raises(ConfigInvalid) as error:
        guardrails_of(tomllib.loads(text), Path("/etc/config.toml"))
    assert told in error.value.message
    assert hint in error.value.hint


def test_guardrails_that_can_no_longer_be_read_are_not_taken_for_none(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    assert guardrails_now(file, Guardrails()) == Guardrails()
    some = Guardrails(limits(servers=1))
    with pytest.raises(ConfigInvalid, match="cannot read"):
        guardrails_now(file, some)
    file.write_text("[limits\n")
    with pytest.raises(ConfigInvalid, match="cannot read"):
        guardrails_now(file, Guardrails())
