"""Clouds that can be emulated: those shipped, and those of plug-ins."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from batchwright.emulators import registry
from batchwright.emulators.cloud import CloudEmulator
from batchwright.errors import ProviderUnavailable, UsageError


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, registry.GROUP)


@pytest.mark.parametrize("name", registry.SHIPPED)
def test_what_is_shipped_has_the_same_interface(name: str) -> None:
    cloud = registry.load(name, [])
    emulator = cloud.started({"lost_answers": "0.1"}, 7, 0.5)
    assert isinstance(emulator.account.summary(), dict)
    assert "{url}" in "".join(cloud.environ.values())
    explained = "\n".join(cloud.explanation())
    assert "lost_answers=0 " in explained


def test_a_plug_in_brings_a_cloud_of_its_own() -> None:
    brought = [entry("exoscale", "batchwright.emulators.hetzner:EMULATOR")]
    assert registry.names(brought) == ["aws", "exoscale", "hetzner", "upcloud"]
    assert isinstance(registry.load("exoscale", brought), CloudEmulator)


def test_what_cannot_be_emulated_is_explained() -> None:
    with pytest.raises(UsageError, match="no cloud upclod can be emulated") as raised:
        registry.load("upclod", [])
    assert raised.value.hint == "Did you mean upcloud?"
    with pytest.raises(ProviderUnavailable, match="needs a package that is not installed: nowhere") as missing:
        registry.load("exoscale", [entry("exoscale", "nowhere:EMULATOR")])
    assert missing.value.hint == "Install it with: pip install 'nowhere'"
    with pytest.raises(ProviderUnavailable, match=r"batchwright\.errors:UsageError is no CloudEmulator"):
        registry.load("exoscale", [entry("exoscale", "batchwright.errors:UsageError")])


@pytest.mark.parametrize(
    ("faults", "scale", "says"),
    [
        ({"lost_answer": "1"}, 1, "the emulated UpCloud: there is no setting lost_answer"),
        ({"seed": "1"}, 1, "--fault seed: it is a separate option"),
        ({"late_max": "0.1"}, 1, "late_max (0.1) is less than late_min (1)"),
        ({}, 0, "--time-scale 0: expected a number above 0"),
    ],
)
def test_a_mistake_is_explained_before_anything_is_served(faults: dict[str, str], scale: float, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        registry.load("upcloud", []).started(faults, 0, scale)
    assert says in raised.value.message
