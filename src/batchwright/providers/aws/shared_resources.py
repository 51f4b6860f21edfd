"""What a run's servers share in a region: a key pair and a security group, both named after the run.

EC2 keeps both names unique, so a second process (a resumed run, for example) finds what the first one created. They are
created just before the first server, as part of its create call, and removed after the last one (see lookup.py).
"""

from __future__ import annotations

import asyncio
from typing import Any

from botocore.exceptions import ClientError

from batchwright.providers.aws import rows
from batchwright.providers.aws.client import AwsClient
from batchwright.providers.aws.faults import code_of
from batchwright.providers.aws.lookup import only, rows_of
from batchwright.providers.aws.refs import RefKind

LOOKS = 10  # at a group that exists but is not visible yet
LOOK_SECONDS = 0.5
DESCRIPTION = "Made by Batchwright for one run"


class SharedResources:
    """Remembers what exists, so that each thing is looked up once per process."""

    def __init__(self, connection: AwsClient, ssh_from: str) -> None:
        self._connection, self._ssh_from = connection, ssh_from
        self._groups: dict[tuple[str, str, str], str] = {}
        self._keys: set[tuple[str, str]] = set()
        self._turns: dict[tuple[str, str], asyncio.Lock] = {}

    async def ready(self, region: str, vpc: str, run: str, public_key: str) -> str:
        """Create both if they do not exist. Returns the group's id. Raises botocore's exceptions."""
        async with self._turns.setdefault((region, run), asyncio.Lock()):
            if (region, run) not in self._keys:
                await self._make_key(region, run, public_key)
                self._keys.add((region, run))
            wanted = (region, vpc, run)
            if wanted not in self._groups:
                self._groups[wanted] = await self._make_group(region, vpc, run)
            return self._groups[wanted]

    def forget(self) -> None:
        """Look again next time: something was removed."""
        self._groups.clear()
        self._keys.clear()

    async def _make_key(self, region: str, run: str, public_key: str) -> None:
        tags = rows.tag_set(["key-pair"], rows.run_tags(run))
        name, material = rows.run_name(run), public_key.encode()
        try:
            await self._connection.change(
                region, "import_key_pair", KeyName=name, PublicKeyMaterial=material, TagSpecifications=tags
            )
        except ClientError as error:
            if code_of(error) != "InvalidKeyPair.Duplicate":
                raise

    async def _make_group(self, region: str, vpc: str, run: str) -> str:
        found = await self._find_group(region, vpc, run)
        group = found or await self._create_group(region, vpc, run)
        if len((found or {}).get("IpPermissions", ())) < 2:
            await self._allow(region, str(group["GroupId"]))
        return str(group["GroupId"])

    async def _find_group(self, region: str, vpc: str, run: str) -> dict[str, Any] | None:
        filters = [only("group-name", rows.run_name(run)), only("vpc-id", vpc), only(f"tag:{rows.RUN}", run)]
        found = await rows_of(self._connection, region, RefKind.GROUP, filters)
        return found[0] if found else None

    async def _create_group(self, region: str, vpc: str, run: str) -> dict[str, Any]:
        tags = rows.tag_set(["security-group"], rows.run_tags(run))
        name = rows.run_name(run)
        try:
            return await self._connection.change(
                region, "create_security_group", GroupName=name, Description=DESCRIPTION, VpcId=vpc,
                TagSpecifications=tags,
            )  # fmt: skip
        except ClientError as error:
            if code_of(error) != "InvalidGroup.Duplicate":
                raise
            for _ in range(LOOKS):
                if found := await self._find_group(region, vpc, run):
                    return found
                await asyncio.sleep(LOOK_SECONDS)
            raise

    async def _allow(self, region: str, group: str) -> None:
        """Allow SSH from where the settings say, and all traffic among the run's own servers."""
        v6 = ":" in self._ssh_from
        source = {"Ipv6Ranges": [{"CidrIpv6": self._ssh_from}]} if v6 else {"IpRanges": [{"CidrIp": self._ssh_from}]}
        ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, **source}
        inside = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
        for rule in (ssh, inside):
            try:
                await self._connection.change(
                    region, "authorize_security_group_ingress", GroupId=group, IpPermissions=[rule]
                )
            except ClientError as error:
                if code_of(error) != "InvalidPermission.Duplicate":
                    raise
