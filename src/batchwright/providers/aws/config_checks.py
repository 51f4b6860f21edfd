"""Checks of a server configuration that need no request to AWS. Pure."""

from __future__ import annotations

import re

from batchwright.model.diagnostic import Diagnostic
from batchwright.model.did_you_mean import close_matches
from batchwright.model.workflow import ServerConfig
from batchwright.providers.aws import images
from batchwright.providers.aws.instance_type_aliases import SIZES, instance_type
from batchwright.providers.aws.zones import region_of
from batchwright.providers.user_data import against

_TYPE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
LABELS_MAX = 40  # of the 50 tags that AWS allows
USER_DATA_MAX = 16384  # bytes of EC2's user data, before base64


def problems(config: ServerConfig, regions: tuple[str, ...]) -> list[Diagnostic]:
    """What is wrong with a configuration. `regions` are the allowed ones; empty if all are."""
    found = []
    if not _TYPE.fullmatch(instance_type(config.plan)):
        near = close_matches(config.plan, SIZES, n=1, cutoff=0.5)
        hint = f'Did you mean "{near[0]}"?' if near else f"An instance type such as t3.medium, or: {', '.join(SIZES)}"
        found.append(Diagnostic("unknown-plan", f'"{config.plan}" is not an AWS instance type', hint, field="plan"))
    region = region_of(config.zone)
    if not region:
        hint = "A region such as eu-central-1, or an availability zone such as eu-central-1a."
        found.append(Diagnostic("unknown-zone", f'"{config.zone}" is not an AWS region or zone', hint, field="zone"))
    elif regions and region not in regions:
        hint = f"Add it to regions under [aws] in config.toml, which has: {', '.join(regions)}"
        found.append(Diagnostic("zone-not-allowed", f"the region {region} is not an allowed one", hint, field="zone"))
    if config.image is not None and not images.is_known(config.image):
        hint = f"An id (ami-...), the path of an SSM parameter, or: {', '.join(images.ALIASES)}"
        found.append(Diagnostic("unknown-image", f'there is no image "{config.image}" here', hint, field="image"))
    if config.network is not None and not config.network.startswith("subnet-"):
        hint = "The id of a subnet: subnet-..."
        found.append(Diagnostic("unknown-network", f'"{config.network}" is not an AWS subnet', hint, field="network"))
    if len(config.labels) > LABELS_MAX:
        found.append(
            Diagnostic("too-many-labels", f"AWS allows {LABELS_MAX} labels at most", "Leave some out.", field="labels")
        )
    if why := against(config.user_data or "", config.ssh_keys, USER_DATA_MAX, "AWS"):
        found.append(
            Diagnostic("bad-user-data", f"the user_data cannot be used: {why}", "Make it a script.", field="user_data")
        )
    return found
