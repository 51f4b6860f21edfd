"""The rules of EC2 that the emulated account keeps, and the troubles it can make; time is handed in."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.emulated_aws import instance

from batchwright.emulators.aws import AwsBehaviour, AwsEmulator
from batchwright.emulators.aws.app import call_of
from batchwright.emulators.aws.protocol import ApiError, AwsRequest, answer, read, refusal
from batchwright.emulators.front import AnswerDropped, CallRefused

NOW = 1_800_000_000.0
HEAD = "AWS4-HMAC-SHA256 Credential=AKIA/20270115/eu-central-1/ec2/aws4_request, SignedHeaders=host, Signature=0"


class Cloud:
    """An emulator whose clock is set by each call."""

    def __init__(self, **behaviour: Any) -> None:
        settings = {"rate": 0.0, "boot_seconds": 2.0, "shutdown_seconds": 1.0, **behaviour}
        self.now = NOW
        self.emulator = AwsEmulator(AwsBehaviour(**settings), lambda: self.now)


def call(here: Cloud, action: str, now: float = NOW, **arguments: Any) -> dict[str, Any]:
    here.now = now
    found: dict[str, Any] = here.emulator.handle(call_of(AwsRequest("ec2", "eu-central-1", action, arguments)))
    return found


def pending(here: Cloud, now: float) -> int:
    here.now = now
    return here.emulator.account.inventory().pending


def made(here: Cloud, token: str, now: float = NOW, **more: Any) -> str:
    return str(call(here, "RunInstances", now, **instance(token, **more))["Instances"][0]["InstanceId"])


def refused(here: Cloud, action: str, now: float = NOW, **arguments: Any) -> str:
    with pytest.raises(CallRefused) as caught:
        call(here, action, now, **arguments)
    return caught.value.code


def listed(here: Cloud, now: float = NOW) -> list[dict[str, Any]]:
    rows = call(here, "DescribeInstances", now)["Reservations"]
    return [one for row in rows for one in row["Instances"]]


def test_a_token_stands_for_one_request_and_one_instance() -> None:
    here = Cloud()
    first = made(here, "one")
    assert made(here, "one", NOW + 5) == first
    assert refused(here, "RunInstances", **instance("one", InstanceType="t3.small")) == "IdempotentParameterMismatch"
    call(here, "TerminateInstances", InstanceIds=[first])
    assert refused(here, "RunInstances", NOW + 9, **instance("one")) == "IdempotentInstanceTerminated"
    assert made(here, "two") != first


def test_an_instance_lives_and_is_forgotten() -> None:
    here = Cloud(forget_seconds=10.0)
    made(here, "one")
    assert listed(here)[0]["State"]["Name"] == "pending"
    (running,) = listed(here, NOW + 3)
    assert (running["State"]["Name"], "PublicIpAddress" in running) == ("running", True)
    name = running["InstanceId"]
    (change,) = call(here, "TerminateInstances", NOW + 4, InstanceIds=[name])["TerminatingInstances"]
    assert change["CurrentState"]["Name"] == "shutting-down"
    (ended,) = listed(here, NOW + 6)
    assert (ended["State"]["Name"], ended["StateReason"]["Code"]) == ("terminated", "Client.UserInitiatedShutdown")
    call(here, "TerminateInstances", NOW + 7, InstanceIds=[name])
    assert listed(here, NOW + 20) == []
    assert refused(here, "TerminateInstances", NOW + 20, InstanceIds=[name]) == "InvalidInstanceID.NotFound"


@pytest.mark.parametrize(("ends", "left"), [(True, 0), (False, 1), (None, 1)])
def test_a_disk_ends_with_its_instance_only_when_that_is_said(ends: bool | None, left: int) -> None:
    here = Cloud()
    disk = {"DeviceName": "/dev/xvda", "Ebs": {} if ends is None else {"DeleteOnTermination": ends}}
    name = made(here, "one", BlockDeviceMappings=[disk])
    (volume,) = call(here, "DescribeVolumes")["Volumes"]
    assert refused(here, "DeleteVolume", VolumeId=volume["VolumeId"]) == "VolumeInUse"
    call(here, "TerminateInstances", InstanceIds=[name])
    volumes = call(here, "DescribeVolumes", NOW + 2)["Volumes"]
    assert [one["State"] for one in volumes] == ["available"] * left
    assert call(here, "DescribeNetworkInterfaces", NOW + 2)["NetworkInterfaces"] == []


def test_names_are_unique_and_a_group_in_use_stays() -> None:
    here = Cloud()
    group = call(here, "CreateSecurityGroup", GroupName="g", Description="d")["GroupId"]
    assert refused(here, "CreateSecurityGroup", GroupName="g", Description="d") == "InvalidGroup.Duplicate"
    call(here, "ImportKeyPair", KeyName="k", PublicKeyMaterial=b"ssh-ed25519 AAAA")
    assert refused(here, "ImportKeyPair", KeyName="k", PublicKeyMaterial=b"ssh-ed25519 AAAA") == (
        "InvalidKeyPair.Duplicate"
    )
    name = made(here, "one", SecurityGroupIds=[group], KeyName="k")
    assert refused(here, "DeleteSecurityGroup", GroupId=group) == "DependencyViolation"
    call(here, "TerminateInstances", InstanceIds=[name])
    call(here, "DeleteSecurityGroup", NOW + 2, GroupId=group)
    assert refused(here, "RunInstances", NOW + 2, **instance("two", SecurityGroupIds=[group])) == (
        "InvalidGroup.NotFound"
    )
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    other = call(here, "CreateSecurityGroup", GroupName="h", Description="d")["GroupId"]
    call(here, "AuthorizeSecurityGroupIngress", GroupId=other, IpPermissions=[rule])
    assert refused(here, "AuthorizeSecurityGroupIngress", GroupId=other, IpPermissions=[rule]) == (
        "InvalidPermission.Duplicate"
    )


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"InstanceType": "t9.nano"}, "InvalidParameterValue"),
        ({"ImageId": "ami-1"}, "InvalidAMIID.NotFound"),
        ({"InstanceType": "t4g.small"}, "InvalidParameterValue"),
        ({"SubnetId": "subnet-1"}, "InvalidSubnetID.NotFound"),
        ({"Placement": {"AvailabilityZone": "eu-central-1z"}}, "InvalidParameterValue"),
        ({"KeyName": "nobody's"}, "InvalidKeyPair.NotFound"),
        ({"MaxCount": 2}, "InvalidParameterValue"),
        ({"UserData": "A" * 24_000}, "InvalidParameterValue"),
        ({"DryRun": True}, "DryRunOperation"),
    ],
)
def test_what_ec2_would_refuse_is_refused_and_nothing_is_made(change: dict[str, Any], code: str) -> None:
    here = Cloud()
    assert refused(here, "RunInstances", **{**instance("one"), **change}) == code
    assert listed(here) == []


def test_one_unknown_id_spoils_a_describe_and_a_filter_leaves_it_out() -> None:
    here = Cloud()
    name = made(here, "one")
    assert refused(here, "DescribeInstances", InstanceIds=[name, "i-0"]) == "InvalidInstanceID.NotFound"
    found = call(here, "DescribeInstances", Filters=[{"Name": "instance-id", "Values": [name, "i-0"]}])
    assert len(found["Reservations"]) == 1
    assert refused(here, "DescribeInstances", Filters=[{"Name": "colour", "Values": ["red"]}]) == (
        "InvalidParameterValue"
    )


def test_listings_come_in_pages() -> None:
    here = Cloud(page_size=5)
    for n in range(12):
        made(here, f"t{n}")
    sizes, asked = [], {}
    while True:
        page = call(here, "DescribeInstances", **asked)
        sizes.append(len(page["Reservations"]))
        if "NextToken" not in page:
            break
        asked = {"NextToken": page["NextToken"]}
    assert sizes == [5, 5, 2]


def test_run_instances_has_a_bucket_per_region() -> None:
    here = Cloud(rate=2.0, burst=5)
    codes = []
    for n in range(7):
        try:
            made(here, f"t{n}")
        except CallRefused as error:
            codes.append((error.code, error.status))
    assert codes == [("RequestLimitExceeded", 503)] * 2
    assert made(here, "t9", NOW + 0.6)


def test_list_lag_hides_and_late_commits_come_later_once() -> None:
    here = Cloud(list_lag=5.0)
    made(here, "one")
    assert listed(here, NOW + 4) == []
    assert len(listed(here, NOW + 6)) == 1
    late = Cloud(late_commits=1.0, late_min=1.0, late_max=1.0)
    with pytest.raises(AnswerDropped):
        made(late, "one")
    assert (listed(late, NOW + 0.5), pending(late, NOW + 0.5)) == ([], 1)
    assert len(listed(late, NOW + 1.5)) == 1
    with pytest.raises(AnswerDropped):
        made(late, "one", NOW + 2)
    assert len(listed(late, NOW + 9)) == 1, "the same token, whenever it arrives"


def test_a_lost_answer_is_carried_out_and_a_call_that_is_refused_for_now_is_not() -> None:
    lost = Cloud(lost_answers=1.0)
    with pytest.raises(AnswerDropped):
        made(lost, "one")
    assert len(listed(lost)) == 1
    away = Cloud(transient=1.0)
    assert refused(away, "RunInstances", **instance("one")) in ("Unavailable", "InternalError")
    assert listed(away) == []


def test_what_happens_depends_on_the_seed_and_not_on_the_order() -> None:
    def met(order: list[str]) -> dict[str, bool]:
        here, found = Cloud(lost_answers=0.5, seed=7), {}
        for token in order:
            try:
                made(here, token)
                found[token] = True
            except AnswerDropped:
                found[token] = False
        return found

    names = [f"t{n}" for n in range(12)]
    assert met(names) == met(names[::-1])
    assert len(set(met(names).values())) == 2


# The protocol


def wire(body: str) -> AwsRequest:
    return read({"Authorization": HEAD}, body.encode())


def test_a_form_is_read_by_botocores_description() -> None:
    request = wire("Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=tag%3Aa&Filter.1.Value.1=b&MaxResults=5")
    assert (request.region, request.action) == ("eu-central-1", "DescribeInstances")
    assert request.arguments == {"Filters": [{"Name": "tag:a", "Values": ["b"]}], "MaxResults": 5}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("Action=RunInstances&Version=1&MinCount=1&MaxCount=1&Colour=red", "UnknownParameter"),
        ("Action=RunInstances&Version=1&MinCount=1", "MissingParameter"),
        ("Action=MakeCoffee&Version=1", "InvalidAction"),
        ("Action=DescribeInstances&Version=1&Filter.x.Name=a", "InvalidParameterValue"),
    ],
)
def test_what_the_description_does_not_know_is_refused(body: str, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        wire(body)
    assert caught.value.code == code


def test_an_answer_has_the_descriptions_names_and_no_others() -> None:
    request = AwsRequest("ec2", "eu-central-1", "CreateSecurityGroup", {})
    body, kind = answer(request, {"GroupId": "sg-<1>"})
    assert b"<groupId>sg-&lt;1&gt;</groupId>" in body
    assert kind.startswith("text/xml")
    with pytest.raises(ValueError, match="no member Colour"):
        answer(request, {"Colour": "red"})
    body, _ = refusal("ec2", ApiError("Some.Code", "a <message>"))
    assert b"<Code>Some.Code</Code><Message>a &lt;message&gt;</Message>" in body
