"""One region of an emulated account: the rules of EC2 that a careful client depends on."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from batchwright.emulators.aws.catalog import ARM, IMAGES, VCPUS, ZONES, Image
from batchwright.emulators.aws.protocol import ApiError
from batchwright.emulators.aws.resources import AwsVolume, Group, Instance, Interface, Key, Tags
from batchwright.emulators.aws.settings import AwsBehaviour
from batchwright.fault_injection.draw import NOTHING, Draw

USER_DATA_MAX = 16384

Arguments = Mapping[str, Any]


class Region:
    """Rows by id. `advance` must be called before anything else at a later time; `place` tells regions apart."""

    def __init__(self, name: str, behaviour: Callable[[], AwsBehaviour], place: int = 0) -> None:
        self.name, self._behaviour, self._place = name, behaviour, place
        self.vpc = f"vpc-{_hex(name, 'vpc', 17)}"
        self.subnets = {f"subnet-{_hex(name, zone, 17)}": f"{name}{zone}" for zone in ZONES}
        self.default_group = Group(f"sg-{_hex(name, 'default', 17)}", "default", "default", self.vpc, {}, 0.0)
        self.instances: dict[str, Instance] = {}
        self.volumes: dict[str, AwsVolume] = {}
        self.interfaces: dict[str, Interface] = {}
        self.groups: dict[str, Group] = {self.default_group.id: self.default_group}
        self.keys: dict[str, Key] = {}
        self._tokens: dict[str, Instance] = {}
        self._serial = 0
        self.backed = False  # whether backing servers decide when an instance runs, and where

    def _id(self, kind: str) -> str:
        self._serial += 1
        return f"{kind}-{_hex(self.name, str(self._serial), 17)}"

    def _lag(self, kind: str, now: float) -> tuple[float, float]:
        """From when on a new thing is listed, and its tags are seen."""
        here = self._behaviour()
        seen = now + here.scaled(max(here.list_lag, getattr(here, f"lag_{kind}")))
        return seen, now + here.scaled(max(here.list_lag, here.lag_tags))

    def advance(self, now: float) -> None:
        """Apply what is due: instances that break, and those that are gone with what ends with them."""
        for one in list(self.instances.values()):
            if one.breaks and one.ending_at is None and now >= one.ready_at:
                one.ending_at = one.gone_at = one.ready_at
                one.reason = ("Server.InternalError", "Server.InternalError: Internal error on launch")
            if one.gone_at is not None and now >= one.gone_at:
                self._leave(one)
                if now >= one.gone_at + self._behaviour().scaled(self._behaviour().forget_seconds):
                    del self.instances[one.id]

    def _leave(self, one: Instance) -> None:
        for volume in [v for v in self.volumes.values() if v.instance == one.id]:
            volume.instance = ""
            if volume.ends_with_instance:
                del self.volumes[volume.id]
        for interface in [n for n in self.interfaces.values() if n.instance == one.id]:
            interface.instance = ""
            if interface.ends_with_instance:
                del self.interfaces[interface.id]

    # -- instances ----------------------------------------------------------------------------------------------

    def run(self, arguments: Arguments, now: float, drawn: Draw = NOTHING) -> Instance:
        """RunInstances for one instance: idempotent by its token, as EC2 documents it."""
        rest = {key: value for key, value in arguments.items() if key not in ("ClientToken", "DryRun")}
        digest = hashlib.sha256(json.dumps(rest, sort_keys=True, default=_plain).encode()).hexdigest()
        token = str(arguments.get("ClientToken", ""))
        if len(token) > 64 or not token.isascii():
            raise ApiError("InvalidParameterValue", "The client token may have 64 ASCII characters")
        image, zone, subnet = self._check(arguments)
        earlier = self._tokens.get(token) if token else None
        if earlier is not None:
            return self._repeated(earlier, digest, now)
        self.check_room(arguments["InstanceType"], zone, now)
        made = self._made(arguments, digest, token, zone, subnet, now, drawn)
        self._attach(made, image, now)
        if token:
            self._tokens[token] = made
        return made

    def _repeated(self, earlier: Instance, digest: str, now: float) -> Instance:
        if earlier.digest != digest:
            text = "The request uses the same client token as a previous, but non-identical request."
            raise ApiError("IdempotentParameterMismatch", text)
        if earlier.ending_at is not None and now >= earlier.ending_at:
            text = "The client token was used for an instance that has been terminated."
            raise ApiError("IdempotentInstanceTerminated", text)
        return earlier

    def _check(self, arguments: Arguments) -> tuple[Image, str, str]:
        if arguments["MinCount"] != 1 or arguments["MaxCount"] != 1:
            raise ApiError("InvalidParameterValue", "this emulator makes one instance per call")
        kind = arguments.get("InstanceType", "m1.small")
        if kind not in VCPUS:
            raise ApiError("InvalidParameterValue", f"Invalid value '{kind}' for InstanceType.")
        image = self.image(arguments.get("ImageId", ""))
        if image.architecture != ("arm64" if kind.startswith(ARM) else "x86_64"):
            raise ApiError("InvalidParameterValue", f"the image is for {image.architecture}")
        zone = arguments.get("Placement", {}).get("AvailabilityZone", "")
        subnet = arguments.get("SubnetId", "") or next(
            (one for one, its_zone in self.subnets.items() if not zone or its_zone == zone), ""
        )
        if subnet not in self.subnets:
            code = "InvalidSubnetID.NotFound" if arguments.get("SubnetId") else "InvalidParameterValue"
            raise ApiError(code, f"there is no subnet {arguments.get('SubnetId') or 'in ' + zone}")
        for group in arguments.get("SecurityGroupIds", ()):
            if group not in self.groups:
                raise ApiError("InvalidGroup.NotFound", f"The security group '{group}' does not exist")
        key = arguments.get("KeyName")
        if key is not None and key not in self.keys:
            raise ApiError("InvalidKeyPair.NotFound", f"The key pair '{key}' does not exist")
        if len(base64.b64decode(arguments.get("UserData", ""))) > USER_DATA_MAX:
            raise ApiError("InvalidParameterValue", "User data is limited to 16384 bytes")
        return image, self.subnets[subnet], subnet

    def image(self, wanted: str) -> Image:
        """An image by id. Raises ApiError."""
        for image in IMAGES:
            if image.id == wanted:
                return image
        raise ApiError("InvalidAMIID.NotFound", f"The image id '[{wanted}]' does not exist")

    def vcpus_used(self, now: float) -> int:
        """What counts against the quota."""
        return sum(VCPUS[one.arguments["InstanceType"]][0] for one in self.instances.values() if one.counted(now))

    def check_room(self, kind: str, zone: str, now: float) -> None:
        """Whether one more instance may run. Raises ApiError."""
        if self.vcpus_used(now) + VCPUS[kind][0] > self._behaviour().vcpus:
            raise ApiError("VcpuLimitExceeded", "You have requested more vCPU capacity than your current vCPU limit")
        there = sum(one.zone == zone and one.counted(now) for one in self.instances.values())
        if 0 < self._behaviour().capacity <= there:
            raise ApiError(
                "InsufficientInstanceCapacity", f"We currently do not have sufficient capacity in {zone}", 500
            )

    def _made(
        self, arguments: Arguments, digest: str, token: str, zone: str, subnet: str, now: float, drawn: Draw
    ) -> Instance:
        name, here = self._id("i"), self._behaviour()
        visible, tagged = self._lag("instances", now)
        boot = here.scaled(here.boot_seconds) * (0.75 + 0.5 * drawn.fraction("boot"))
        made = Instance(
            id=name,
            zone=zone,
            subnet=subnet,
            vpc=self.vpc,
            token=token,
            digest=digest,
            arguments=dict(arguments),
            tags=tags_of(arguments, "instance"),
            private=f"172.31.{self._number >> 8 & 255}.{self._number & 255}",
            public=self._public,
            made_at=now,
            visible_at=visible,
            tagged_at=tagged,
            ready_at=math.inf if self.backed or "never_ready" in drawn.server else now + boot,
            breaks="broken" in drawn.server,
        )
        self.instances[name] = made
        return made

    @property
    def _number(self) -> int:
        return self._serial * 32 + self._place  # so that no two regions give one address

    @property
    def _public(self) -> str:
        return f"198.{18 + (self._number >> 16 & 1)}.{self._number >> 8 & 255}.{self._number & 255}"

    def next_address(self) -> str:
        """A public address that no other instance had."""
        self._serial += 1
        return self._public

    def _attach(self, made: Instance, image: Image, now: float) -> None:
        """Its disks and its interface. A disk ends with its instance only where the request says so."""
        asked = {one["DeviceName"]: one.get("Ebs", {}) for one in made.arguments.get("BlockDeviceMappings", ())}
        seen = self._lag("volumes", now)
        for device in image.devices:
            ends = bool(asked.get(device, {}).get("DeleteOnTermination", False))
            volume = AwsVolume(
                self._id("vol"), made.zone, device, made.id, ends, tags_of(made.arguments, "volume"), *seen
            )
            self.volumes[volume.id] = volume
        tags, groups = tags_of(made.arguments, "network-interface"), made.groups or [self.default_group.id]
        seen = self._lag("interfaces", now)
        face = Interface(self._id("eni"), made.zone, made.subnet, made.vpc, made.id, groups, tags, *seen)
        self.interfaces[face.id] = face

    def terminate(self, names: list[str], now: float) -> list[Instance]:
        """TerminateInstances. Repeating it is fine."""
        missing = [name for name in names if name not in self.instances]
        if missing:
            text = f"The instance ID '{', '.join(missing)}' does not exist"
            raise ApiError("InvalidInstanceID.NotFound", text)
        for name in names:
            one = self.instances[name]
            if one.ending_at is None:
                one.ending_at, one.gone_at = now, now + self._behaviour().scaled(self._behaviour().shutdown_seconds)
                one.reason = ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown")
        return [self.instances[name] for name in names]

    # -- what others attach -------------------------------------------------------------------------------------

    def volume(self, wanted: str) -> AwsVolume:
        """A volume by id. Raises ApiError."""
        if wanted not in self.volumes:
            raise ApiError("InvalidVolume.NotFound", f"The volume '{wanted}' does not exist.")
        return self.volumes[wanted]

    def new_volume(self, zone: str, tags: Tags, now: float) -> AwsVolume:
        """A volume that is attached to nothing."""
        made = AwsVolume(self._id("vol"), zone, "", "", False, tags, now)
        self.volumes[made.id] = made
        return made

    def attach_volume(self, volume: AwsVolume, instance: str, device: str) -> None:
        """AttachVolume: it outlives the instance, unless somebody sets it otherwise."""
        if instance not in self.instances:
            raise ApiError("InvalidInstanceID.NotFound", f"The instance ID '{instance}' does not exist")
        if volume.instance:
            raise ApiError("VolumeInUse", f"{volume.id} is already attached to an instance")
        volume.instance, volume.device, volume.ends_with_instance = instance, device, False

    def new_interface(self, subnet: str, groups: list[str], now: float) -> Interface:
        """A network interface that is attached to nothing."""
        if subnet not in self.subnets:
            raise ApiError("InvalidSubnetID.NotFound", f"The subnet ID '{subnet}' does not exist")
        held = groups or [self.default_group.id]
        made = Interface(self._id("eni"), self.subnets[subnet], subnet, self.vpc, "", held, {}, now)
        self.interfaces[made.id] = made
        return made

    def attach_interface(self, face: Interface, instance: str, number: int) -> None:
        """AttachNetworkInterface: it outlives the instance, unless somebody sets it otherwise."""
        if instance not in self.instances:
            raise ApiError("InvalidInstanceID.NotFound", f"The instance ID '{instance}' does not exist")
        face.instance, face.number, face.ends_with_instance = instance, number, False

    # -- what surrounds them ------------------------------------------------------------------------------------

    def create_group(self, arguments: Arguments, now: float) -> Group:
        """CreateSecurityGroup; the name is unique in its VPC."""
        vpc, name = arguments.get("VpcId", self.vpc), arguments.get("GroupName", "")
        if vpc != self.vpc:
            raise ApiError("InvalidVpcID.NotFound", f"The vpc ID '{vpc}' does not exist")
        if any(one.name == name for one in self.groups.values()):
            text = f"The security group '{name}' already exists for VPC '{vpc}'"
            raise ApiError("InvalidGroup.Duplicate", text)
        seen, tagged = self._lag("groups", now)
        tags = tags_of(arguments, "security-group")
        made = Group(self._id("sg"), name, arguments["Description"], vpc, tags, seen, tagged_at=tagged)
        self.groups[made.id] = made
        return made

    def group(self, wanted: str) -> Group:
        """A security group by id. Raises ApiError."""
        if wanted not in self.groups:
            raise ApiError("InvalidGroup.NotFound", f"The security group '{wanted}' does not exist")
        return self.groups[wanted]

    def delete_group(self, wanted: str) -> None:
        """DeleteSecurityGroup; one that an interface uses is kept."""
        group = self.group(wanted)
        if any(group.id in face.groups for face in self.interfaces.values()):
            raise ApiError("DependencyViolation", f"resource {wanted} has a dependent object")
        if group is self.default_group:
            raise ApiError("CannotDelete", "the specified group: default is not deletable by a user")
        del self.groups[wanted]

    def allow(self, wanted: str, rules: list[dict[str, Any]]) -> None:
        """AuthorizeSecurityGroupIngress: add rules to a group."""
        group = self.group(wanted)
        for rule in rules:
            if rule in group.rules:
                raise ApiError("InvalidPermission.Duplicate", "the specified rule already exists")
        group.rules += rules

    def import_key(self, arguments: Arguments, now: float) -> Key:
        """ImportKeyPair; the name is unique in the region."""
        name = arguments["KeyName"]
        if name in self.keys:
            raise ApiError("InvalidKeyPair.Duplicate", f"The keypair '{name}' already exists.")
        public = arguments["PublicKeyMaterial"].decode()
        if not public.startswith(("ssh-ed25519 ", "ssh-rsa ")):
            raise ApiError("InvalidKey.Format", "Key is not in valid OpenSSH public key format")
        self.keys[name] = Key(self._id("key"), name, public, tags_of(arguments, "key-pair"), *self._lag("keys", now))
        return self.keys[name]

    def delete_key(self, arguments: Arguments) -> None:
        """DeleteKeyPair. A missing one is fine."""
        wanted = (arguments.get("KeyName"), arguments.get("KeyPairId"))
        for key in [key for key in self.keys.values() if key.name in wanted or key.id in wanted]:
            del self.keys[key.name]


def tags_of(arguments: Arguments, kind: str) -> Tags:
    """What a request gives the things of one kind that it makes."""
    found = [one for one in arguments.get("TagSpecifications", ()) if one.get("ResourceType") == kind]
    return {tag["Key"]: tag["Value"] for one in found for tag in one.get("Tags", ())}


def _hex(*words: str | int) -> str:
    *seed, length = words
    return hashlib.sha256("/".join(map(str, seed)).encode()).hexdigest()[: int(length)]


def _plain(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
