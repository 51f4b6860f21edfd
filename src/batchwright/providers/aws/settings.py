"""How AWS is used: the table [aws] of config.toml. Credentials, profile and endpoint may also come from AWS_*."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from batchwright.errors import UsageError
from batchwright.model.scalar import Scalar
from batchwright.providers.settings import settings_of

Positive = Annotated[float, Meta(gt=0)]


class AwsSettings(Struct, frozen=True, kw_only=True):
    """Times are seconds. The default rates (RunInstances, TerminateInstances) are those of new accounts."""

    state_dir: str = ""
    profile: str = ""
    role: str = ""  # ARN of a role to assume with the credentials found
    endpoint_url: str = ""
    regions: str = ""  # comma-separated: allowed regions; empty for all that the account has enabled
    ssh_from: str = "0.0.0.0/0"  # source of SSH connections; logging in also needs the run's key
    settle_seconds: Annotated[float, Meta(ge=0)] = 60.0
    visible_seconds: Positive = 60.0  # EC2 promises no bound
    exclusive: bool = False  # no other store creates servers in this account
    poll_seconds: Positive = 3.0
    concurrency: Annotated[int, Meta(ge=1, le=200)] = 16
    rate: Annotated[float, Meta(ge=0)] = 2.0
    burst: Annotated[int, Meta(ge=1)] = 5
    destroy_rate: Annotated[float, Meta(ge=0)] = 5.0
    destroy_burst: Annotated[int, Meta(ge=1)] = 100
    connect_seconds: Positive = 5.0
    read_seconds: Positive = 30.0

    @property
    def named_regions(self) -> tuple[str, ...]:
        """The regions that are named."""
        return tuple(word.strip() for word in self.regions.split(",") if word.strip())


def settings_from(given: Mapping[str, Scalar]) -> AwsSettings:
    """Parse the table. Raises UsageError for unknown or invalid settings."""
    found = settings_of(AwsSettings, "aws", given)
    try:
        ipaddress.ip_network(found.ssh_from)
    except ValueError as error:
        raise UsageError(f"aws: {error}", hint="docs/providers/aws.md lists the settings.") from error
    return found
