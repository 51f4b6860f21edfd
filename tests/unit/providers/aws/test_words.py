"""Plans, zones, images, references and settings: what can be said without asking AWS."""

from __future__ import annotations

import pytest
from tests.support.emulated_aws import config

from batchwright.app.system_clock import SystemClock
from batchwright.errors import UsageError
from batchwright.model.ids import Token
from batchwright.providers import registry
from batchwright.providers.aws import Aws, config_checks, images, instance_type_aliases, zones
from batchwright.providers.aws.refs import Ref, RefKind, parse, spent, spent_token
from batchwright.providers.aws.settings import settings_from


@pytest.mark.parametrize(
    ("zone", "region", "exact"),
    [
        ("eu-central-1", "eu-central-1", False),
        ("eu-central-1a", "eu-central-1", True),
        ("us-gov-west-1b", "us-gov-west-1", True),
        ("ap-southeast-2", "ap-southeast-2", False),
        ("de-fra1", "", False),
        ("eu-central", "", False),
    ],
)
def test_a_zone_is_a_region_or_lies_in_one(zone: str, region: str, exact: bool) -> None:
    assert zones.region_of(zone) == region
    assert zones.is_availability_zone(zone) is exact


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"plan": "2xCPU-5GB"}, "plan", "unknown-plan"),
        ({"zone": "de-fra1"}, "zone", "unknown-zone"),
        ({"image": "debian-7"}, "image", "unknown-image"),
        ({"network": "my-net"}, "network", "unknown-network"),
        ({"user_data": "echo hello"}, "user_data", "bad-user-data"),
        ({"user_data": "#!/bin/sh\n" + "x" * 16000}, "user_data", "bad-user-data"),
        ({"labels": {f"label-{i}": "x" for i in range(41)}}, "labels", "too-many-labels"),
    ],
)
def test_what_can_never_work_is_said_offline(change: dict[str, object], field: str, code: str) -> None:
    (problem,) = config_checks.problems(config("web", **change), ())  # type: ignore[arg-type]
    assert (problem.field, problem.code) == (field, code)
    assert problem.message


def test_a_size_means_an_instance_type() -> None:
    assert instance_type_aliases.instance_type("2xCPU-4GB") == "t3.medium"
    assert instance_type_aliases.instance_type("m7g.large") == "m7g.large"
    assert config_checks.problems(config("web", plan="2xCPU-4GB"), ()) == []
    assert "2xCPU-4GB" in config_checks.problems(config("web", plan="2xCPU-4G"), ())[0].hint


def test_only_named_regions_are_used() -> None:
    (problem,) = config_checks.problems(config("web", zone="us-east-1a"), ("eu-central-1",))
    assert problem.code == "zone-not-allowed"


def test_an_image_is_a_parameter_or_an_id() -> None:
    assert images.parameter("debian-13", "arm64") == "/aws/service/debian/release/13/latest/arm64"
    assert images.parameter("al2023", "x86_64").endswith("al2023-ami-kernel-default-x86_64")
    assert images.parameter("/our/own/parameter", "x86_64") == "/our/own/parameter"
    assert images.parameter("ami-0123", "x86_64") == ""
    assert images.login("ubuntu-24.04", "") == "ubuntu"
    assert images.login("ami-0123", "debian-12-amd64-2026") == "admin"
    assert images.login("ami-0123", "ours") == "ec2-user"


def test_a_reference_knows_its_region_and_kind() -> None:
    ref = parse("eu-central-1/i-0abc")
    assert (ref, ref.kind) == (Ref("eu-central-1", "i-0abc"), RefKind.INSTANCE)
    assert str(ref) == "eu-central-1/i-0abc"
    assert parse("us-east-1/sg-1").kind is RefKind.GROUP
    assert parse("00c78863-9d0d-4c4c-8a4d").kind is None
    gone = spent("us-east-1", Token("therun234567", "thetoken"))
    assert parse(str(gone)).kind is RefKind.SPENT
    assert spent_token(parse(str(gone))) == Token("therun234567", "thetoken")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"regoins": "x"}, "Did you mean regions"),
        ({"settle_seconds": -1}, "lists the settings"),
        ({"concurrency": 0}, "lists the settings"),
        ({"ssh_from": "everybody"}, "lists the settings"),
    ],
)
def test_settings_that_cannot_be_are_refused(given: dict[str, str | int], why: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings_from(given)
    assert why in caught.value.hint


def test_the_registry_finds_it_and_nothing_is_contacted() -> None:
    provider = registry.connect("aws", SystemClock(), {"regions": "eu-central-1, us-east-1"})
    assert isinstance(provider, Aws)
    assert (provider.capabilities.rate, provider.capabilities.destroy_rate) == (2.0, 5.0)
    assert provider.validate(config("web", zone="eu-west-1a"))[0].code == "zone-not-allowed"
