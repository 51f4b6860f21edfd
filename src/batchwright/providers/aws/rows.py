"""Converts EC2's rows to what the engine understands, and defines the tags that mark our resources. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.ids import Token
from batchwright.model.server_labels import without_marks
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.aws.faults import kind_of
from batchwright.providers.aws.refs import Ref, RefKind
from batchwright.providers.host_key_label import LABEL, from_label, to_label

RUN, TOKEN, ZONE, IMAGE, LOGIN = (f"batchwright-{word}" for word in ("run", "token", "zone", "image", "login"))

Row = Mapping[str, Any]
Tags = dict[str, str]

_STATES = {
    "pending": ServerState.STARTING,
    "running": ServerState.READY,
    "shutting-down": ServerState.STOPPING,
    "terminated": ServerState.GONE,
    "stopping": ServerState.BROKEN,  # by a user, or for another plan: then it is started again
    "stopped": ServerState.BROKEN,
}
_NAME = "Name"  # the tag that is the server's name
USER_REASON = "Client.UserInitiatedShutdown"


def server_tags(request: ServerRequest, token: Token, host_key: str) -> Tags:
    """The tags of a server, its disks and its network interface; `host_key` is the public one that it was given."""
    ours = {RUN: token.run, TOKEN: token.value, ZONE: request.zone, IMAGE: request.image}
    login = {LOGIN: request.resolved.get("login", ""), LABEL: to_label(host_key)}
    return {**request.labels, _NAME: request.name, **ours, **login}


def run_tags(run: str) -> Tags:
    """The tags of what a run's servers share."""
    return {_NAME: run_name(run), RUN: run}


def run_name(run: str) -> str:
    """The name of a run's key pair and security group."""
    return f"batchwright-{run}"


def tag_set(kinds: Iterable[str], tags: Tags) -> list[dict[str, Any]]:
    """TagSpecifications, always in the same order."""
    pairs = [{"Key": key, "Value": tags[key]} for key in sorted(tags)]
    return [{"ResourceType": kind, "Tags": pairs} for kind in kinds]


def tags_of(row: Row) -> Tags:
    """The tags that a row carries."""
    return {tag["Key"]: tag["Value"] for tag in (*row.get("Tags", ()), *row.get("TagSet", ()))}


def labels_in(tags: Mapping[str, str]) -> Tags:
    """The labels among the tags: the others mark the server as ours, or are its name."""
    return {key: value for key, value in without_marks(tags).items() if key != _NAME}


def tags_may_be_late(row: Row, now: float, settle: float) -> bool:
    """Whether an instance without our tags is so new that they may not be visible yet."""
    launched = row.get("LaunchTime")
    return RUN not in tags_of(row) and launched is not None and now - launched.timestamp() < settle / 2


def instances(reservations: Iterable[Row]) -> list[Row]:
    """The instances in an answer of DescribeInstances."""
    return [instance for reservation in reservations for instance in reservation.get("Instances", ())]


def state_of(row: Row) -> ServerState:
    """The state of an instance. One that ended by itself is broken: it can be created again."""
    state = _STATES.get(row["State"]["Name"], ServerState.STARTING)
    if state in (ServerState.GONE, ServerState.STOPPING) and _failed(row):
        return ServerState.BROKEN
    return state


def _failed(row: Row) -> bool:
    code = str(row.get("StateReason", {}).get("Code", ""))
    return code.startswith(("Server.", "Client.")) and code not in (USER_REASON, "Client.InstanceInitiatedShutdown")


def server(region: str, row: Row) -> Observed:
    """An instance. Its token comes from the create call's client token, since tags can be copied ("launch more like
    this").
    """
    tags, state = tags_of(row), state_of(row)
    token = tags.get(TOKEN, "")
    fault = None
    if state is ServerState.BROKEN:
        reason = row.get("StateReason", {})
        code = str(reason.get("Code", ""))
        kind = kind_of(code.partition(".")[2]) or FaultClass.TRANSIENT
        fault = Fault(kind, f"AWS: {reason.get('Message') or 'the instance is ' + row['State']['Name']}", code)
    return Observed(
        ref=str(Ref(region, row["InstanceId"])),
        state=state,
        name=tags.get(_NAME, ""),
        run=tags.get(RUN, ""),
        token=token if row.get("ClientToken", token) == token else "",
        address=row.get("PublicIpAddress") or row.get("PrivateIpAddress", ""),
        plan=row.get("InstanceType", ""),
        zone=tags.get(ZONE) or row.get("Placement", {}).get("AvailabilityZone", ""),
        image=tags.get(IMAGE) or row.get("ImageId", ""),
        fault=fault,
        host_keys=from_label(tags.get(LABEL, "")),
        labels=labels_in(tags),
    )


_PARTS = {"VolumeId": "disk", "NetworkInterfaceId": "interface"}


def other(region: str, key: str, row: Row) -> Observed:
    """A disk, network interface, key pair or security group; `key` names its id field. It has no server name.

    A disk or interface belongs to the server of its token; a key pair or group to every server of its run there.
    """
    tags = tags_of(row)
    name, run, token = tags.get(_NAME) or row[key], tags.get(RUN, ""), tags.get(TOKEN, "")
    if key in _PARTS:
        name = f"{_PARTS[key]} of {name}"
    needed_by = token if key in _PARTS else str(Ref(region, f"{RefKind.INSTANCE}-"))
    return Observed(str(Ref(region, row[key])), ServerState.READY, name, run, token, needed_by=needed_by)
