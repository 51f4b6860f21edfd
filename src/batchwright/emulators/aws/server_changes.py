"""What can be done with an emulated instance that is there: stop and start it, give it another type or other tags."""

from __future__ import annotations

import math
from collections.abc import Sequence

from batchwright.emulators.aws.catalog import ARM, VCPUS
from batchwright.emulators.aws.protocol import ApiError
from batchwright.emulators.aws.region import Region
from batchwright.emulators.aws.resources import Instance, Tags
from batchwright.emulators.aws.settings import AwsBehaviour
from batchwright.fault_injection.draw import Draw

TAGS_MAX = 50


def instances(region: Region, names: Sequence[str]) -> list[Instance]:
    """Instances by id. Raises ApiError."""
    if missing := [name for name in names if name not in region.instances]:
        raise ApiError("InvalidInstanceID.NotFound", f"The instance ID '{', '.join(missing)}' does not exist")
    return [region.instances[name] for name in names]


def stop(one: Instance, behaviour: AwsBehaviour, now: float) -> None:
    """StopInstances; repeating it is fine. Raises ApiError."""
    state = one.state(now)[1]
    if state in ("stopping", "stopped"):
        return
    _must_be(one, now, "running")
    one.stopping_at, one.stopped_at = now, now + behaviour.scaled(behaviour.stop_seconds)
    one.reason = ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown")


def start(region: Region, one: Instance, behaviour: AwsBehaviour, now: float, drawn: Draw) -> None:
    """StartInstances: it needs room and quota again, and gets another public address. Raises ApiError."""
    if one.state(now)[1] in ("pending", "running"):
        return
    _must_be(one, now, "stopped")
    region.check_room(one.arguments["InstanceType"], one.zone, now)
    one.stopping_at = one.stopped_at = math.inf
    one.reason = ("", "")
    one.ready_at = now + behaviour.scaled(behaviour.boot_seconds) * (0.75 + 0.5 * drawn.fraction("boot"))
    if not region.backed:
        one.public = region.next_address()


def resize(region: Region, one: Instance, kind: str, now: float) -> None:
    """Another type. Raises ApiError."""
    if kind not in VCPUS:
        raise ApiError("InvalidInstanceAttributeValue", f"Invalid value '{kind}' for InstanceType.")
    _must_be(one, now, "stopped")
    if region.image(one.arguments["ImageId"]).architecture != ("arm64" if kind.startswith(ARM) else "x86_64"):
        raise ApiError("InvalidInstanceAttributeValue", f"The type '{kind}' does not support the image's architecture")
    one.arguments = {**one.arguments, "InstanceType": kind}


def retag(one: Instance, tags: Tags, behaviour: AwsBehaviour, now: float) -> None:
    """Other tags, which are seen as late as those of a new instance. Raises ApiError."""
    if reserved := [key for key in tags.keys() ^ one.tags.keys() if key.startswith("aws:")]:
        raise ApiError("InvalidParameterValue", f"Tag keys starting with 'aws:' are reserved: {reserved[0]}")
    if len(tags) > TAGS_MAX:
        raise ApiError("TagLimitExceeded", f"The maximum number of {TAGS_MAX} tags has been reached")
    one.old_tags = one.tags if now >= one.tagged_at else one.old_tags
    one.tags = tags
    one.tagged_at = now + behaviour.scaled(max(behaviour.list_lag, behaviour.lag_tags))


def _must_be(one: Instance, now: float, state: str) -> None:
    if (found := one.state(now)[1]) != state:
        raise ApiError("IncorrectInstanceState", f"The instance '{one.id}' is in the state '{found}', not '{state}'")
