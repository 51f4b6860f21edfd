"""Providers by name: found, unknown, missing a package, not usable."""

import asyncio
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from batchwright.app.system_clock import SystemClock
from batchwright.errors import ProviderUnavailable, UsageError
from batchwright.model.ids import Token
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers import registry
from batchwright.providers.simulated import Simulated


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, registry.GROUP)


def test_the_simulated_provider_is_announced_by_the_package_itself() -> None:
    assert "simulated" in registry.names()
    provider = registry.connect("simulated", SystemClock(), {"seed": 7})
    assert isinstance(provider, Simulated)
    assert provider.simulation.seed == 7


def test_a_durable_world_is_found_again(tmp_path: Path) -> None:
    async def make_and_look(make: bool) -> list[str]:
        settings = {"world": str(tmp_path / "world.db"), "time_scale": 0}
        provider = registry.connect("simulated", SystemClock(), settings)
        await provider.open()
        if make:
            await provider.create(ServerRequest("web", "small", "zone-a"), Token("run1", "t"))
        found = await provider.find("run1")
        await provider.aclose()
        await provider.aclose()
        return [observed.name for observed in found]

    assert asyncio.run(make_and_look(True)) == ["web"]
    assert asyncio.run(make_and_look(False)) == ["web"]


def test_settings_reach_the_adapter() -> None:
    with pytest.raises(UsageError, match="no setting sed"):
        registry.connect("simulated", SystemClock(), {"sed": 7})


def test_an_unknown_name_is_explained() -> None:
    with pytest.raises(ProviderUnavailable, match=r"no provider simulatd: installed are .*simulated") as raised:
        registry.load("simulatd")
    assert raised.value.hint.startswith("Did you mean simulated?")


def test_a_name_that_nothing_is_like_gets_a_hint_too() -> None:
    with pytest.raises(ProviderUnavailable, match="installed are none") as raised:
        registry.load("zzz", [])
    assert raised.value.hint == f"{registry.plug_in_hint('zzz', [])} To rehearse without it, add --simulate."


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("mycloud", "batchwright-mycloud"),  # like upcloud, but not a slip of the pen
        ("exo-scale", "batchwright-exo-scale"),
        ("upclod", ""),
        ("$(reboot)", ""),
        ("x" * 99, ""),
    ],
)
def test_what_may_be_a_plug_in_says_which_package_that_is(name: str, package: str) -> None:
    hint = registry.plug_in_hint(name, ["aws", "upcloud"])
    assert (package in hint) if package else hint == ""


@pytest.mark.parametrize(
    ("name", "value", "install"),
    [
        ("aws", "batchwright.no_such_package:Adapter", "pip install 'batchwright[aws]'"),
        ("mycloud", "no_such_package:Adapter", "pip install no_such_package"),
    ],
)
def test_a_missing_package_says_what_to_install(name: str, value: str, install: str) -> None:
    with pytest.raises(ProviderUnavailable, match="no_such_package") as raised:
        registry.load(name, [entry(name, value)])
    assert install in raised.value.hint


@pytest.mark.parametrize(
    ("value", "says"), [("batchwright.errors:Nothing", "Nothing"), ("batchwright.errors:UsageError", "no connect")]
)
def test_an_entry_point_that_names_no_adapter_is_explained(value: str, says: str) -> None:
    with pytest.raises(ProviderUnavailable, match=says) as raised:
        registry.load("mycloud", [entry("mycloud", value)])
    assert raised.value.hint


def test_two_packages_with_one_name_are_refused_and_named() -> None:
    rivals = [entry("mycloud", "one:Adapter"), entry("mycloud", "two:Adapter")]
    with pytest.raises(ProviderUnavailable, match="one:Adapter, two:Adapter"):
        registry.load("mycloud", rivals)


def test_the_same_package_announced_twice_is_no_rival() -> None:
    twice = [entry("simulated", "batchwright.providers.simulated:Simulated")] * 2
    assert registry.load("simulated", twice) is Simulated


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plug-in's package, which must not be imported."""
    folder = tmp_path / "cloudy_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('nobody may import this')")
    (folder / "cloudy.ncl").write_text("fun workflows => workflows.Server")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_a_contract_is_found_beside_what_the_entry_point_names_without_importing_it(package: Path) -> None:
    entries = [entry("cloudy", "cloudy_package.adapter:Cloudy"), entry("other", "cloudy_package:Other")]
    assert registry.contracts(entries) == {"cloudy": package / "cloudy.ncl", "other": None}


def test_a_package_that_is_gone_has_no_contract() -> None:
    assert registry.contracts([entry("cloudy", "no_such_package:Cloudy")]) == {"cloudy": None}


def test_of_two_packages_with_one_name_neither_brings_a_contract(package: Path) -> None:
    rivals = [entry("cloudy", "cloudy_package:Cloudy"), entry("cloudy", "cloudy_package:Other")]
    assert registry.contracts(rivals) == {"cloudy": None}
