"""The front that all emulated clouds share: refusals of every class, scripts, rights, and counted faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from batchwright.emulators.aws import AwsBehaviour, AwsEmulator
from batchwright.emulators.aws.app import call_of
from batchwright.emulators.aws.protocol import AwsRequest
from batchwright.emulators.front import (
    CREATE,
    AnswerDropped,
    CallRefused,
    EmulatedCall,
    EmulatorFront,
    GatewayPage,
)
from batchwright.emulators.hetzner import HetznerBehaviour, HetznerEmulator
from batchwright.emulators.settings import EmulatorBehaviour
from batchwright.emulators.upcloud import UpCloudBehaviour, UpCloudEmulator
from batchwright.errors import UsageError
from batchwright.fault_injection.fault_names import CALL_FAULTS, READ_FAULTS, REFUSALS
from batchwright.model.fault import FaultClass
from batchwright.model.ids import Token
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.aws import faults as aws_faults
from batchwright.providers.hetzner import faults as hetzner_faults
from batchwright.providers.upcloud import faults as upcloud_faults
from batchwright.providers.upcloud.payload import create_body

NOW = 1_800_000_000.0
Front = EmulatorFront[Any]
CLOUDS: dict[str, tuple[type[EmulatorBehaviour], Callable[..., Front]]] = {
    "upcloud": (UpCloudBehaviour, UpCloudEmulator),
    "hetzner": (HetznerBehaviour, HetznerEmulator),
    "aws": (AwsBehaviour, AwsEmulator),
}
UPCLOUD_FACTS = {"template": "01000000-0000-4000-8000-000020070100", "disk_gb": "50", "tier": "maxiops"}


class Cloud:
    """An emulator whose clock stands still, and the create of a server that each would take."""

    def __init__(self, name: str, **settings: Any) -> None:
        behaviour, emulator = CLOUDS[name]
        self.front = emulator(behaviour(**{"rate": 0.0, **settings}), lambda: NOW)

    def create(self, name: str = "web-01", token: str = "") -> Any:
        if isinstance(self.front, AwsEmulator):
            tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}]
            arguments = {"ImageId": "ami-0000000000000deb12", "InstanceType": "t3.micro", "TagSpecifications": tags}
            arguments |= {"MinCount": 1, "MaxCount": 1, "ClientToken": token or name}
            return self.front.handle(call_of(AwsRequest("ec2", "eu-central-1", "RunInstances", arguments)))
        if isinstance(self.front, HetznerEmulator):
            path, body = "/servers", {"name": name, "server_type": "cx23", "location": "fsn1", "image": 114690387}
        else:
            request = ServerRequest(name, "1xCPU-2GB", "de-fra1", image="debian-12", resolved=UPCLOUD_FACTS)
            path, body = "/server", create_body(request, Token("run", name), "ssh-ed25519 AAAA", "#!/bin/sh")
        asked = (_Request("POST"), path, body)
        return self.front.handle(EmulatedCall(f"POST {path}", name, CREATE, asked, name))

    def servers(self) -> int:
        left = self.front.account.summary()
        return len(left["instances"] if "instances" in left else left["servers"])


class _Request:
    """What the routes of the REST clouds ask of a request."""

    def __init__(self, method: str) -> None:
        self.method, self.query = method, dict[str, str]()


def class_of(cloud: str, refusal: CallRefused) -> FaultClass | None:
    """What the cloud's adapter takes it for."""
    if cloud == "aws":
        return aws_faults.kind_of(refusal.code) or (FaultClass.TRANSIENT if refusal.status >= 500 else None)
    rules = upcloud_faults if cloud == "upcloud" else hetzner_faults
    return rules.class_of(refusal.status, refusal.code)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_every_refusal_is_to_the_adapter_what_it_is_called(cloud: str) -> None:
    behaviour, emulator = CLOUDS[cloud]
    refusals = emulator(behaviour()).refusals
    assert {kind: class_of(cloud, refusal) for kind, refusal in refusals.items()} == {kind: kind for kind in refusals}
    assert {str(kind) for kind in refusals} == set(REFUSALS) & set(behaviour.create_effects)


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("effect", ["capacity", "quota", "permanent", "throttle"])
def test_a_scripted_refusal_is_met_by_the_server_of_that_name_as_often_as_it_says(cloud: str, effect: str) -> None:
    here = Cloud(cloud, fail=f"web-*={effect}:1")
    with pytest.raises(CallRefused) as caught:
        here.create()
    assert class_of(cloud, caught.value) == effect
    assert (here.servers(), here.front.account.happened[effect]) == (0, 1)
    here.create()
    assert here.create("db-01")
    assert here.servers() == 2


def test_a_script_counts_the_attempts_at_a_server_whatever_their_token() -> None:
    here = Cloud("aws", fail="web-01=broken:1")
    here.create(token="first")
    here.create(token="replacement")
    region = cast(AwsEmulator, here.front).account.regions["eu-central-1"]
    region.advance(NOW + 100)
    assert [one.state(NOW + 100)[1] for one in region.instances.values()] == ["terminated", "running"]


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize(("fault", "raised"), [("lost_answers", AnswerDropped), ("late_commits", AnswerDropped)])
def test_what_nobody_hears_of_is_carried_out_all_the_same(cloud: str, fault: str, raised: type[Exception]) -> None:
    here = Cloud(cloud, **{fault: 1.0}, late_min=0.0, late_max=0.0)
    with pytest.raises(raised):
        here.create()
    assert here.servers() == 1


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_gateways_page_tells_nothing(cloud: str) -> None:
    here = Cloud(cloud, bad_gateway=1.0)
    for n in range(20):
        with pytest.raises(GatewayPage):
            here.create(f"web-{n}")
    assert 2 < here.servers() < 18


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("auth", ["expired", "wrong"])
def test_refused_credentials_refuse_everything(cloud: str, auth: str) -> None:
    here = Cloud(cloud, auth=auth)
    with pytest.raises(CallRefused) as caught:
        here.create()
    assert class_of(cloud, caught.value) is FaultClass.AUTH


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_right_that_is_missing_refuses_changes_only(cloud: str) -> None:
    front = Cloud(cloud, read_only=True, denied="GET /price").front
    for name, faults, refused in [
        ("GET /price", READ_FAULTS, True),
        ("GET /zone", READ_FAULTS, False),
        ("DELETE /zone", CALL_FAULTS, True),
    ]:
        call = EmulatedCall(name, "", faults, (_Request("GET"), "/nothing", {}))
        if cloud == "aws":
            call = EmulatedCall(name, "", faults, AwsRequest("ec2", "eu-central-1", "DescribeRegions", {}))
        try:
            front.handle(call)
            code = ""
        except CallRefused as refusal:
            code = refusal.code
        assert (code == front.denied.code) is refused


@pytest.mark.parametrize("cloud", CLOUDS)
def test_servers_that_are_no_good_are_made_and_stay_so(cloud: str) -> None:
    here = Cloud(cloud, fail="web-01=never_ready,web-02=broken")
    here.create("web-01")
    here.create("web-02")
    assert here.servers() == 2
    if cloud == "hetzner":
        account = cast(HetznerEmulator, here.front).account
        account.clock = lambda: NOW + 1e6
        assert [account.status(server) for server in account.all("servers")] == ["initializing", "off"]
    elif cloud == "upcloud":
        states = [one.state(NOW + 1e6) for one in cast(UpCloudEmulator, here.front).account.servers()]
        assert states == ["maintenance", "error"]
    else:
        region = cast(AwsEmulator, here.front).account.regions["eu-central-1"]
        region.advance(NOW + 100)
        assert [one.state(NOW + 100)[1] for one in region.instances.values()] == ["pending", "terminated"]


def test_what_a_cloud_has_no_code_for_is_refused_before_it_serves() -> None:
    with pytest.raises(UsageError, match="no effect billing"):
        HetznerBehaviour(fail="web-01=billing")
    with pytest.raises(UsageError, match="no effect conflict"):
        UpCloudBehaviour(fail="web-01=conflict")
