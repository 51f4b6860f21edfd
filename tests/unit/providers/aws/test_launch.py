"""The request that makes a server: the same bytes each time, with all that must be said of what comes with it."""

from __future__ import annotations

from email import message_from_string
from email.message import Message

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.model.ids import Token
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers import user_data
from batchwright.providers.aws import payload, rows
from batchwright.providers.aws.config_checks import USER_DATA_MAX
from batchwright.providers.host_key_label import from_label

KNOWN = {"image_id": "ami-1", "devices": "/dev/xvda=8,/dev/sdb", "vpc": "vpc-1", "login": "admin"}
REQUEST = ServerRequest("web", "t3.micro", "eu-central-1a", image="debian-12", labels={"team": "red"}, resolved=KNOWN)
TOKEN = Token("therun234567", "abcdefghijklmnopqrstuvwxyz")
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFfplimWnViY9wu5MK1IS6q6QeNQIzqZwtogRcsp1Mvo"
PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"


def parts(told: str) -> list[Message]:
    whole = message_from_string(told)
    assert whole.is_multipart()
    return [part for part in whole.walk() if not part.is_multipart()]


def content(part: Message) -> str:
    body = part.get_payload(decode=True)
    assert isinstance(body, bytes)
    return body.decode()


def test_everything_that_is_made_is_labelled_and_ends_with_the_server() -> None:
    asked = payload.arguments(REQUEST, TOKEN, "sg-1", PRIVATE, HOST_KEY)
    assert asked["ClientToken"] == TOKEN.value
    assert (asked["MinCount"], asked["MaxCount"]) == (1, 1)
    assert [row["ResourceType"] for row in asked["TagSpecifications"]] == ["instance", "network-interface", "volume"]
    for row in asked["TagSpecifications"]:
        tags = {tag["Key"]: tag["Value"] for tag in row["Tags"]}
        assert tags["batchwright-run"] == TOKEN.run
        assert tags["batchwright-token"] == TOKEN.value
        assert from_label(tags["batchwright-host-key"]) == (HOST_KEY,)
        assert tags["Name"] == "web"
        assert tags["team"] == "red"
    assert [row["DeviceName"] for row in asked["BlockDeviceMappings"]] == ["/dev/xvda", "/dev/sdb"]
    assert [row["Ebs"] for row in asked["BlockDeviceMappings"]] == [
        {"DeleteOnTermination": True, "VolumeSize": 8},
        {"DeleteOnTermination": True},
    ]
    assert asked["Placement"] == {"AvailabilityZone": "eu-central-1a"}
    assert asked["MetadataOptions"]["HttpTokens"] == "required"


def test_a_region_leaves_the_zone_to_aws_and_a_subnet_decides_it() -> None:
    region = ServerRequest("web", "t3.micro", "eu-central-1", resolved=KNOWN)
    assert {"Placement", "SubnetId"} & payload.rehearsal(region).keys() == set()
    subnet = ServerRequest("web", "t3.micro", "eu-central-1a", resolved={**KNOWN, "subnet": "subnet-1"})
    assert payload.rehearsal(subnet)["SubnetId"] == "subnet-1"
    assert "Placement" not in payload.rehearsal(subnet)


@settings(deadline=None)
@given(st.text("abc #\n:-é", max_size=40), st.lists(st.just("ssh-ed25519 AAAA me"), max_size=2))
def test_the_same_call_is_the_same_bytes_and_every_part_arrives_whole(text: str, ssh_keys: list[str]) -> None:
    script = f"#!/bin/sh\n{text}\nend"
    one = user_data.combined(script, ssh_keys, PRIVATE, "ssh-ed25519 AAAA", "boundary")
    assert one == user_data.combined(script, ssh_keys, PRIVATE, "ssh-ed25519 AAAA", "boundary")
    theirs, ours = parts(one)
    assert theirs.get_content_type() == "text/x-shellscript"
    assert content(theirs) == script
    assert ours.get_content_type() == "text/cloud-config"
    told = yaml.safe_load(content(ours))
    assert told["ssh_keys"] == {"ed25519_private": PRIVATE, "ed25519_public": "ssh-ed25519 AAAA"}
    assert told.get("ssh_authorized_keys", []) == ssh_keys


def test_a_script_arrives_as_it_is() -> None:
    odd = "#!/bin/sh\nFrom here on\n.\n\ttab  \n" + "x" * 2000 + "\n"
    theirs, _ = parts(user_data.combined(odd, (), PRIVATE, "ssh-ed25519 AAAA", "boundary"))
    assert content(theirs) == odd


def test_without_user_data_only_the_host_key_is_told() -> None:
    (ours,) = parts(user_data.combined("", (), PRIVATE, "ssh-ed25519 AAAA", "boundary"))
    assert ours["Merge-Type"] == "list(append)+dict(no_replace,recurse_list)+str()"


@settings(deadline=None)
@given(st.integers(0, 17000))
def test_what_is_let_through_fits_into_what_ec2_takes(size: int) -> None:
    script = "#!/bin/sh\n" + "x" * size
    long = "\n".join(["x" * 70] * 7)  # longer than any ed25519 key
    told = user_data.combined(script, (), long, "ssh-ed25519 " + "A" * 68, f"batchwright-{TOKEN.value}")
    assert (user_data.against(script, (), USER_DATA_MAX, "AWS") == "") <= (len(told) <= USER_DATA_MAX)


@pytest.mark.parametrize(
    "own",
    [
        *("ssh_keys: {}", "ssh_deletekeys: false", "merge_how: replace", "merge_type: replace", '"ssh_keys": {}'),
        *("{'ssh_keys': {}}", "  ssh_keys: {}"),
    ],
)
def test_a_cloud_config_that_would_take_the_server_its_host_key_is_refused(own: str) -> None:
    assert "host key" in user_data.against(f"#cloud-config\npackages: [git]\n{own}\n", (), USER_DATA_MAX, "AWS")
    assert "host key" in user_data.against(f"## template: jinja\n#cloud-config\n{own}\n", (), USER_DATA_MAX, "AWS")
    assert user_data.against("#cloud-config\nssh_deletekeys: true\n", (), USER_DATA_MAX, "AWS") == ""
    assert user_data.against(f"#!/bin/sh\n# {own}\n{own}\n", (), USER_DATA_MAX, "AWS") == ""


def test_tags_that_were_copied_to_another_instance_make_it_not_ours() -> None:
    """E1: "launch more like this" copies tags, and the token of the create call cannot be copied."""
    tags = [{"Key": rows.RUN, "Value": "r"}, {"Key": rows.TOKEN, "Value": "t"}]
    row = {"InstanceId": "i-1", "State": {"Name": "running"}, "Tags": tags}
    assert rows.server("eu-central-1", {**row, "ClientToken": "t"}).token == "t"
    assert rows.server("eu-central-1", row).token == "t"
    assert rows.server("eu-central-1", {**row, "ClientToken": "b2c1"}).token == ""
    assert rows.server("eu-central-1", {**row, "ClientToken": ""}).token == ""
