"""Plans and zones as words. A plan is an instance type, or one of a few sizes that mean one; a zone is a region or an
availability zone. Pure.
"""

from __future__ import annotations

import re

from batchwright.model.diagnostic import Diagnostic
from batchwright.model.did_you_mean import close_matches
from batchwright.model.workflow import ServerConfig
from batchwright.providers.aws import images
from batchwright.providers.user_data import against

# The cheapest current x86 type with at least that much; T types have at least two processors.
SIZES = {
    "1xCPU-1GB": "t3.micro",
    "1xCPU-2GB": "t3.small",
    "2xCPU-4GB": "t3.medium",
    "2xCPU-8GB": "t3.large",
    "4xCPU-8GB": "c6i.xlarge",
    "4xCPU-16GB": "t3.xlarge",
    "8xCPU-16GB": "c6i.2xlarge",
    "8xCPU-32GB": "t3.2xlarge",
}

_TYPE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
_ZONE = re.compile(r"([a-z]{2,3}(?:-[a-z]+){1,2}-\d)([a-z]?)")
LABELS_MAX = 40  # of the 50 tags that AWS allows
USER_DATA_MAX = 16384  # bytes of EC2's user data, before base64


def instance_type(plan: str) -> str:
    """The type that a plan means."""
    return SIZES.get(plan, plan)


def region_of(zone: str) -> str:
    """The region of a zone; empty when it is none."""
    found = _ZONE.fullmatch(zone)
    return found.group(1) if found else ""


def is_availability_zone(zone: str) -> bool:
    """Whether it names more than a region."""
    found = _ZONE.fullmatch(zone)
    return bool(found and found.group(2))


def problems(config: ServerConfig, regions: tuple[str, ...]) -> list[Diagnostic]:
    """What is wrong with a configuration; `regions` are those that are allowed, none for any."""
    found = []
    if not _TYPE.fullmatch(instance_type(config.plan)):
        near = close_matches(config.plan, SIZES, n=1, cutoff=0.5)
        hint = f'Did you mean "{near[0]}"?' if near else f"An instance type such as t3.medium, or: {', '.join(SIZES)}"
        found.append(Diagnostic("unknown-plan", f'"{config.plan}" is no instance type of AWS', hint, field="plan"))
    region = region_of(config.zone)
    if not region:
        hint = "A region such as eu-central-1, or an availability zone such as eu-central-1a."
        found.append(Diagnostic("unknown-zone", f'"{config.zone}" is no region or zone of AWS', hint, field="zone"))
    elif regions and region not in regions:
        hint = f"Add it to regions under [aws] in config.toml, which has: {', '.join(regions)}"
        found.append(Diagnostic("zone-not-allowed", f"the region {region} is not one to be used", hint, field="zone"))
    if config.image is not None and not images.is_known(config.image):
        hint = f"An id (ami-...), the path of an SSM parameter, or: {', '.join(images.ALIASES)}"
        found.append(Diagnostic("unknown-image", f'there is no image "{config.image}" here', hint, field="image"))
    if config.network is not None and not config.network.startswith("subnet-"):
        hint = "The id of a subnet: subnet-..."
        found.append(Diagnostic("unknown-network", f'"{config.network}" is no subnet of AWS', hint, field="network"))
    if len(config.labels) > LABELS_MAX:
        found.append(
            Diagnostic("too-many-labels", f"AWS takes {LABELS_MAX} labels at most", "Leave some out.", field="labels")
        )
    if why := against(config.user_data or "", config.ssh_keys, USER_DATA_MAX, "AWS"):
        found.append(
            Diagnostic("bad-user-data", f"the user_data cannot be used: {why}", "Make it a script.", field="user_data")
        )
    return found
