"""Whatever AWS's adapter says against a server says what to do, too."""

from __future__ import annotations

from typing import Any

import pytest

from batchwright.model.diagnostic import Diagnostic
from batchwright.model.fault import FaultClass
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.aws import config_checks, config_resolution, faults

TYPE = {"InstanceType": "t3.micro", "MemoryInfo": {"SizeInMiB": 1024}, "VCpuInfo": {"DefaultVCpus": 2}}
SUBNET = {"SubnetId": "subnet-1", "AvailabilityZone": "eu-central-1b", "VpcId": "vpc-1"}
IMAGE = {"ImageId": "ami-1", "Architecture": "x86_64", "RootDeviceName": "/dev/xvda", "BlockDeviceMappings": ()}
EVERYWHERE = {("t3.micro", f"eu-central-1{letter}") for letter in "ab"}


def offers(**more: Any) -> config_resolution.AwsOffers:
    known: dict[str, Any] = {"types": {"t3.micro": TYPE}, "placed": EVERYWHERE, "default_vpc": "vpc-1"}
    known |= {"default_zones": {"eu-central-1a"}, "images": {"ami-1": IMAGE}, "subnets": {"subnet-1": SUBNET}}
    return config_resolution.AwsOffers(**{**known, **more})


def asked(zone: str = "eu-central-1", plan: str = "t3.micro", **more: Any) -> ServerConfig:
    return ServerConfig("web", plan, zone, image=more.pop("image", "ami-1"), **more)


@pytest.mark.parametrize(
    ("config", "seen"),
    [
        (asked(plan="t9.huge"), {}),
        (asked("eu-central-1a"), {"placed": set()}),
        (asked("eu-central-1c"), {}),
        (asked("eu-central-1b"), {}),
        (asked(network="subnet-2"), {}),
        (asked("eu-central-1a", network="subnet-1"), {}),
        (asked(), {"default_vpc": ""}),
        (asked(), {"default_zones": set()}),
        (asked(), {"placed": {("t3.micro", "eu-central-1b")}}),
        (asked(image="ami-2"), {}),
        (asked(), {"images": {"ami-1": {**IMAGE, "Architecture": "arm64"}}}),
    ],
)
def test_every_problem_has_a_hint_that_says_something(config: ServerConfig, seen: dict[str, Any]) -> None:
    """E9: hints with nothing in them, and a default VPC without subnets that only the first create would find."""
    answer = config_resolution._request(offers(**seen), config)
    assert isinstance(answer, Diagnostic), answer
    assert len(answer.hint.rstrip(": ")) > 10
    assert not answer.hint.endswith(": ")


def test_what_can_be_made_is_resolved() -> None:
    assert isinstance(config_resolution._request(offers(), asked()), ServerRequest)


def test_every_problem_that_is_told_offline_has_a_hint() -> None:
    """E9."""
    labels = {f"key-{n}": "" for n in range(99)}
    wrong = asked("moon", "huge", image="dos", network="lan", labels=labels)
    assert all(len(one.hint) > 10 for one in config_checks.problems(wrong, ("eu-central-1",)))


@pytest.mark.parametrize("kind", FaultClass)
def test_a_fault_that_ends_a_step_has_a_hint(kind: FaultClass) -> None:
    """E9: of what is tried again nobody has to do anything."""
    if kind in (FaultClass.AUTH, FaultClass.BILLING, FaultClass.QUOTA, FaultClass.CAPACITY):
        assert faults._HINTS[kind]
