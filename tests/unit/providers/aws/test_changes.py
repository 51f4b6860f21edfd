"""Changes in place at AWS: which type can become which, and the emulator's rules about stopped instances."""

from __future__ import annotations

import pytest
from tests.support.emulated_aws import instance

from batchwright.emulators.aws import AwsBehaviour, server_changes
from batchwright.emulators.aws.protocol import ApiError
from batchwright.emulators.aws.region import Region
from batchwright.fault_injection.draw import NOTHING
from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.update_behavior import ChangeWay
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.aws.server_changes import ways

BEHAVIOUR = AwsBehaviour(boot_seconds=2.0, stop_seconds=1.0, vcpus=4)


@pytest.mark.parametrize(
    ("plan", "wanted", "way"),
    [
        ("t3.micro", "t3.xlarge", ChangeWay.STOPPED),
        ("t3.micro", "m7i-flex.large", ChangeWay.STOPPED),
        ("t4g.small", "c7gn.large", ChangeWay.STOPPED),
        ("m7g.large", "a1.large", ChangeWay.STOPPED),
        ("g4dn.xlarge", "g5.xlarge", ChangeWay.STOPPED),  # this "g" means graphics
        ("t3.micro", "t4g.micro", ChangeWay.REPLACE),
        ("im4gn.large", "m6i.large", ChangeWay.REPLACE),
        ("g5.xlarge", "g5g.xlarge", ChangeWay.REPLACE),
    ],
)
def test_a_type_of_another_architecture_needs_a_new_server(plan: str, wanted: str, way: ChangeWay) -> None:
    found = ways(Observed("eu/i-1", ServerState.READY, plan=plan), ServerRequest("web", wanted, "eu"))
    assert found["plan"].way is way
    assert found["plan"].note
    assert found["labels"].way is ChangeWay.LIVE


def refused(code: str, act: object, *arguments: object) -> None:
    with pytest.raises(ApiError) as error:
        act(*arguments)  # type: ignore[operator]
    assert error.value.code == code


def test_the_emulated_instance_is_changed_only_while_stopped_and_its_start_needs_room() -> None:
    region = Region("eu-central-1", lambda: BEHAVIOUR)
    one = region.run(instance("first"), 0.0)
    refused("IncorrectInstanceState", server_changes.stop, one, BEHAVIOUR, 1.0)  # pending
    refused("IncorrectInstanceState", server_changes.resize, region, one, "t3.small", 10.0)
    server_changes.stop(one, BEHAVIOUR, 10.0)
    server_changes.stop(one, BEHAVIOUR, 10.5)
    assert [one.state(now)[1] for now in (9.9, 10.5, 11.0)] == ["running", "stopping", "stopped"]
    refused("IncorrectInstanceState", server_changes.start, region, one, BEHAVIOUR, 10.5, NOTHING)
    refused("InvalidInstanceAttributeValue", server_changes.resize, region, one, "t4g.small", 12.0)
    refused("InvalidInstanceAttributeValue", server_changes.resize, region, one, "t3.tiny", 12.0)
    assert region.vcpus_used(12.0) == 0
    other = region.run(instance("second"), 12.0)
    server_changes.resize(region, one, "t3.xlarge", 13.0)
    refused("VcpuLimitExceeded", server_changes.start, region, one, BEHAVIOUR, 14.0, NOTHING)
    server_changes.resize(region, one, "t3.micro", 15.0)
    was = one.public
    server_changes.start(region, one, BEHAVIOUR, 16.0, NOTHING)
    assert one.public not in (was, other.public)
    assert [one.state(now)[1] for now in (16.1, 20.0)] == ["pending", "running"]
    assert region.vcpus_used(20.0) == 4


def test_changed_tags_are_seen_as_late_as_new_ones() -> None:
    late = AwsBehaviour(lag_tags=5.0)
    region = Region("eu-central-1", lambda: late)
    one = region.run(instance("first"), 0.0)
    server_changes.retag(one, {"a": "1"}, late, 10.0)
    server_changes.retag(one, {"b": "2"}, late, 11.0)
    assert (one.old_tags, one.tagged_at) == ({"Name": "first"}, 16.0)
    server_changes.retag(one, {"c": "3"}, late, 20.0)
    assert one.old_tags == {"b": "2"}
    refused("InvalidParameterValue", server_changes.retag, one, {"aws:own": "1"}, late, 21.0)
    refused("TagLimitExceeded", server_changes.retag, one, {str(n): "" for n in range(51)}, late, 21.0)
