"""The account's limits against what is asked for. Pure: answers in, numbers and problems out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from batchwright.model.diagnostic import Diagnostic
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Quota
from batchwright.providers.upcloud.rows import number

_UNITS = {"memory": " MiB", "storage_maxiops": " GB", "storage_standard": " GB", "storage_total": " GB"}
_WORDS = {"cores": "cores", "memory": "memory", "public_ipv4": "public IPv4 addresses"}
_WORDS |= {"public_ipv6": "public IPv6 addresses", "storage_total": "storage"}


def quota_from(account: Any, usage: Any) -> Quota:
    """What both /account and /account/resource-usage tell; a limit whose use is not told is left out."""
    limits = account.get("account", {}).get("resource_limits", {}) if isinstance(account, dict) else {}
    used = usage.get("resource_usage", usage) if isinstance(usage, dict) else {}
    known = [key for key in limits if key in used and not isinstance(used[key], dict | list)]
    return Quota({key: (number(used[key]), number(limits[key])) for key in known})


def needed(requests: Sequence[ServerRequest]) -> Counter[str]:
    """Limits that these would use, under UpCloud's names for them."""
    total: Counter[str] = Counter()
    for request in requests:
        facts = request.resolved
        cores, memory, disk = (int(facts.get(key, "0")) for key in ("cores", "memory_mb", "disk_gb"))
        total.update(cores=cores, memory=memory, storage_total=disk, public_ipv4=1, public_ipv6=1)
        total[f"storage_{facts.get('tier', 'maxiops')}"] += disk
    return total


def shortages(requests: Sequence[ServerRequest], quota: Quota) -> list[Diagnostic]:
    """One problem for each limit that is too low for all of them together."""
    found = []
    for key, more in needed(requests).items():
        used, limit = quota.usage.get(key, (0.0, float("inf")))
        if used + more > limit:
            what, unit = _WORDS.get(key, key.replace("_", " ")), _UNITS.get(key, "")
            message = f"the account may use {limit:g}{unit} of {what}: {used:g} are used, {more:g} more are needed"
            found.append(Diagnostic("quota", message, "Ask for fewer or smaller servers, or raise the limit."))
    return found
