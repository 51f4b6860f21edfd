"""Removes our resources, and only those. Foreign things attached to an instance are first set to outlive it.

An attached volume or interface has a flag, DeleteOnTermination. It is set to false on everything without our tags, and
the instance is terminated only after a look confirms that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError
from msgspec import Struct

from batchwright.model.call_outcome import Going, Gone, Rejected, ServerState
from batchwright.model.clock import Clock
from batchwright.model.fault import Fault, FaultClass
from batchwright.providers.aws import lookup, rows
from batchwright.providers.aws.client import AwsClient
from batchwright.providers.aws.faults import code_of, kind_of
from batchwright.providers.aws.refs import Ref, RefKind, parse
from batchwright.providers.base import Attached, refuse_attached

HELD_SECONDS = 540.0  # how long a group may still be in use by resources that are being deleted

_ENDING = ("shutting-down", "terminated")
_DELETES = {
    RefKind.VOLUME: ("delete_volume", "VolumeId"),
    RefKind.INTERFACE: ("delete_network_interface", "NetworkInterfaceId"),
    RefKind.GROUP: ("delete_security_group", "GroupId"),
    RefKind.KEY: ("delete_key_pair", "KeyPairId"),
}


class Part(Struct, frozen=True):
    """A volume or an interface on an instance. `hold` is its device, or its attachment's id."""

    id: str
    hold: str
    goes: bool  # deleted with the instance
    ours: bool

    @property
    def words(self) -> str:
        """A description for people."""
        return f"volume {self.id}" if self.id.startswith("vol-") else f"network interface {self.id}"


def parts_of(row: rows.Row, volumes: Sequence[rows.Row], interfaces: Sequence[rows.Row]) -> list[Part]:
    """What is attached to an instance, from its own row and from those of the parts. Pure.

    Either may show late. A part that only the instance shows has no tags, so it counts as foreign.
    """
    mine = _owner(row)
    tags = {str(one.get("VolumeId") or one.get("NetworkInterfaceId")): _owner(one) for one in (*volumes, *interfaces)}
    found: dict[str, tuple[str, bool]] = {}
    for one in volumes:
        for held in one.get("Attachments", ()):
            found[one["VolumeId"]] = held.get("Device", ""), bool(held.get("DeleteOnTermination"))
    for one in row.get("BlockDeviceMappings", ()):
        if disk := one.get("Ebs"):
            found[disk["VolumeId"]] = one["DeviceName"], bool(disk.get("DeleteOnTermination"))
    for one in (*interfaces, *row.get("NetworkInterfaces", ())):
        held = one.get("Attachment") or {}
        found[one["NetworkInterfaceId"]] = held.get("AttachmentId", ""), bool(held.get("DeleteOnTermination"))
    return [Part(name, hold, goes, tags.get(name) == mine) for name, (hold, goes) in found.items()]


def _owner(row: rows.Row) -> tuple[str | None, str | None]:
    tags = rows.tags_of(row)
    return tags.get(rows.RUN), tags.get(rows.TOKEN)


class Removal:
    """Removes resources. `forget` is called when something that a run's servers share was removed."""

    def __init__(self, connection: AwsClient, clock: Clock, settle: float, forget: Callable[[], None]) -> None:
        self._connection, self._clock, self._settle, self._forget = connection, clock, settle, forget
        self._held: dict[str, float] = {}  # group -> when it was first found in use

    async def destroy(self, place: Ref, kind: RefKind) -> Gone | Going | Rejected:
        """One step of removal. Raises botocore's exceptions."""
        return await (self._terminate(place) if kind is RefKind.INSTANCE else self._delete(place, kind))

    async def attached(self, refs: Sequence[str]) -> list[Attached]:
        """Foreign resources on these instances. Raises botocore's exceptions."""
        found = []
        for place in map(parse, refs):
            row = await self._row(place) if place.kind is RefKind.INSTANCE else None
            parts = await self._parts(place, row) if row is not None else []
            found += [Attached(str(place), part.words) for part in parts if not part.ours]
        return found

    async def _row(self, place: Ref) -> rows.Row | None:
        found = await lookup.rows_of(
            self._connection, place.region, RefKind.INSTANCE, [lookup.only("instance-id", place.id)]
        )
        return found[0] if found else None

    async def _parts(self, place: Ref, row: rows.Row) -> list[Part]:
        of = [lookup.only("attachment.instance-id", place.id)]
        volumes = await lookup.rows_of(self._connection, place.region, RefKind.VOLUME, of)
        return parts_of(row, volumes, await lookup.rows_of(self._connection, place.region, RefKind.INTERFACE, of))

    # -- an instance --------------------------------------------------------------------------------------------

    async def _terminate(self, place: Ref) -> Gone | Going | Rejected:
        row = await self._row(place)
        if row is None:
            return Going("AWS does not show it, or not yet")  # then what is attached to it is not visible either
        if row["State"]["Name"] not in _ENDING:
            foreign = [part for part in await self._parts(place, row) if part.goes and not part.ours]
            if foreign:
                return await self._spare(place, foreign)
        return await self._end(place)

    async def _spare(self, place: Ref, foreign: Sequence[Part]) -> Going | Rejected:
        """Set these to outlive the instance. The next step checks that they do."""
        for part in foreign:
            operation, asked = _sparing(place, part)
            try:
                await self._connection.change(place.region, operation, **asked)
            except ClientError as error:
                if kind_of(code_of(error)) is FaultClass.THROTTLE:
                    raise
                why = f"it would be deleted with {place.id}, which could not be changed: {code_of(error)}"
                refused = refuse_attached([Attached(str(place), part.words, why)])
                assert refused is not None
                return refused
        return Going(f"{', '.join(part.words for part in foreign)}: not ours; kept")

    async def _end(self, place: Ref) -> Gone | Going:
        try:
            answer = await self._connection.change(place.region, "terminate_instances", InstanceIds=[place.id])
        except ClientError as error:
            if kind_of(code_of(error)) is not FaultClass.NOT_FOUND:
                raise
            return Going("AWS does not know it, or not yet")  # which does not prove that it is gone
        change = answer["TerminatingInstances"][0]
        state = change["CurrentState"]["Name"]
        if state != "terminated" and change["PreviousState"]["Name"] in _ENDING:
            # a repeated call may be answered with the requested state, not the instance's current one
            seen = (await lookup.describe(self._connection, [str(place)], self._clock.now(), 0.0))[str(place)]
            state = "terminated" if seen.state is ServerState.GONE else state
        return Gone() if state == "terminated" else Going(f"AWS: {state}")

    # -- all else -----------------------------------------------------------------------------------------------

    async def _delete(self, place: Ref, kind: RefKind) -> Gone | Going | Rejected:
        operation, argument = _DELETES[kind]
        try:
            await self._connection.change(place.region, operation, **{argument: place.id})
        except ClientError as error:
            if kind is RefKind.GROUP and code_of(error) == "DependencyViolation":
                return await self._in_use(place)
            if kind_of(code_of(error)) is not FaultClass.NOT_FOUND:
                raise
        self._held.pop(str(place), None)
        self._forget()
        return Gone()

    async def _in_use(self, place: Ref) -> Going | Rejected:
        """A group that is in use.

        Wait while its users are being deleted. A server of the run in it means that the listing was too old; if others
        use it, leave it alone.
        """
        now, region = self._clock.now(), place.region
        since = self._held.setdefault(str(place), now)
        users = [lookup.only("instance.group-id", place.id)]
        found = await lookup.rows_of(self._connection, region, RefKind.INSTANCE, users)
        groups = await lookup.rows_of(self._connection, region, RefKind.GROUP, [lookup.only("group-id", place.id)])
        run = rows.tags_of(groups[0]).get(rows.RUN) if groups else None
        alive = [row for row in found if row["State"]["Name"] not in _ENDING]
        foreign = [
            row["InstanceId"]
            for row in alive
            if rows.tags_of(row).get(rows.RUN) != run and not rows.tags_may_be_late(row, now, self._settle)
        ]
        if foreign:
            return _left(place, f"instances that are not this run's: {', '.join(foreign)}")
        if alive:
            told = f"the security group {place.id} is in use by {', '.join(row['InstanceId'] for row in alive)}"
            return Rejected(Fault(FaultClass.TRANSIENT, told, "DependencyViolation"))  # makes the engine list it again
        if now - since < HELD_SECONDS:
            return Going("it is in use by resources that are being deleted")
        faces = await lookup.rows_of(self._connection, region, RefKind.INTERFACE, [lookup.only("group-id", place.id)])
        who = ", ".join(row["NetworkInterfaceId"] for row in faces)
        return _left(place, f"network interfaces: {who}" if who else "something else, such as a rule of another group")


def _sparing(place: Ref, part: Part) -> tuple[str, Mapping[str, Any]]:
    """The call that lets a part outlive its instance."""
    if part.id.startswith("vol-"):
        mapping = {"DeviceName": part.hold, "Ebs": {"DeleteOnTermination": False}}
        return "modify_instance_attribute", {"InstanceId": place.id, "BlockDeviceMappings": [mapping]}
    held = {"AttachmentId": part.hold, "DeleteOnTermination": False}
    return "modify_network_interface_attribute", {"NetworkInterfaceId": part.id, "Attachment": held}


def _left(place: Ref, who: str) -> Rejected:
    hint = "Remove the group from them, then roll back again, or run: batchwright gc --run RUN"
    told = f"the security group {place.id} is kept: it is in use by {who}"
    return Rejected(Fault(FaultClass.PERMANENT, told, "DependencyViolation", hint))
