"""The body of a create call, and what can be said against a configuration without asking anybody. Pure."""

from __future__ import annotations

import re

from msgspec import Struct
from msgspec.structs import replace

from batchwright.model.diagnostic import Diagnostic
from batchwright.model.ids import Token
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.upcloud.rows import IMAGE, NAME, RUN, TOKEN, title_mark
from batchwright.providers.upcloud.user_data import against

KEYS_MAX = 31  # of the 32 that UpCloud takes, one is the run's own
USER = "root"  # whom the templates let in
_PLAN = re.compile(r"(?:[A-Z]+-)*\d+xCPU-\d+GB(?:-[0-9A-Za-z]+)*")
_ZONE = re.compile(r"[a-z][a-z0-9-]{0,14}[a-z0-9]")
_HOST = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
_NETWORK = re.compile(r"03[0-9a-f]{6}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LABEL = re.compile(r"[a-z0-9.-][a-z0-9._-]{1,31}")  # lower case: UpCloud compares keys of disks without regard to it


def problems(config: ServerConfig) -> list[Diagnostic]:
    """What is wrong whatever UpCloud offers at the moment."""
    found = []
    if not _PLAN.fullmatch(config.plan):
        message = f'"{config.plan}" is not a plan of UpCloud: it has the form 2xCPU-4GB or DEV-1xCPU-1GB-10GB'
        found.append(Diagnostic("unknown-plan", message, "upcloud.com lists the plans.", field="plan"))
    if not _ZONE.fullmatch(config.zone):
        message = f'"{config.zone}" is not a zone of UpCloud: it has the form de-fra1'
        found.append(Diagnostic("unknown-zone", message, "upcloud.com lists the zones.", field="zone"))
    if not _HOST.fullmatch(config.name):
        found.append(
            Diagnostic("bad-name", f'"{config.name}" is not a host name', "Use letters, digits, hyphens.", field="name")
        )
    if len(config.ssh_keys) > KEYS_MAX:
        message = f"UpCloud gives a server {KEYS_MAX} keys of yours at most, not {len(config.ssh_keys)}"
        found.append(Diagnostic("too-many-keys", message, "Add the others when it runs.", field="ssh_keys"))
    if why := against(config.user_data or ""):
        found.append(
            Diagnostic("bad-user-data", f"the user_data cannot be used: {why}", "Make it a script.", field="user_data")
        )
    if config.network is not None and not _NETWORK.fullmatch(config.network):
        message = f'"{config.network}" is not the id of a private network of UpCloud, which begins with 03'
        found.append(
            Diagnostic("unknown-network", message, "The UpCloud control panel shows the ids.", field="network")
        )
    for key, value in config.labels.items():
        if not _LABEL.fullmatch(key) or key.startswith("batchwright-") or len(value) > 255:
            message = f'"{key}" cannot be a label on UpCloud: 2 to 32 of a-z, 0-9, ., _, -, up to 255 letters of value'
            found.append(Diagnostic("bad-label", message, "It must not begin with _ or batchwright-.", field="labels"))
    return found


def labels(request: ServerRequest, token: Token) -> list[dict[str, str]]:
    """What the server and its disk are known by, from their first moment."""
    own = {RUN: token.run, TOKEN: token.value, NAME: request.name, IMAGE: request.image}
    return [{"key": key, "value": value} for key, value in {**request.labels, **own}.items()]


class Taken(Struct, frozen=True):
    """Which parts of a create call UpCloud takes: no recorded call has them. What is refused goes another way."""

    disk_labels: bool = True  # else the disk has a mark in its title, and is labelled after the create
    login_user: bool = True  # else cloud-init lets the keys in

    def both(self, other: Taken) -> Taken:
        """What neither is without."""
        return Taken(self.disk_labels and other.disk_labels, self.login_user and other.login_user)

    def without(self, code: str, message: str) -> Taken:
        """After a refusal; the same where it is about neither."""
        said = f"{code} {message}".lower()
        if self.login_user and ("login_user" in said or "ssh_key" in said or "username" in said):
            return replace(self, login_user=False)
        if self.disk_labels and ("label" in said or code == "UNKNOWN_ATTRIBUTE"):
            return replace(self, disk_labels=False)
        return self


ALL_TAKEN = Taken()


def create_body(
    request: ServerRequest, token: Token, run_key: str, user_data: str, taken: Taken = ALL_TAKEN
) -> dict[str, object]:
    """Everything in one call. The firewall is left as the API leaves it: off."""
    marks, facts = labels(request, token), request.resolved
    disk = {
        "action": "clone",
        "storage": facts["template"],
        "title": f"{request.name} disk 1" + ("" if taken.disk_labels else f" {title_mark(token.run, token.value)}"),
        "size": int(facts["disk_gb"]),
        "tier": facts["tier"],
        **({"labels": marks} if taken.disk_labels else {}),
    }
    families = (("public", "IPv4"), ("utility", "IPv4"), ("public", "IPv6"))
    faces: list[dict[str, object]] = [
        {"type": kind, "ip_addresses": {"ip_address": [{"family": family}]}} for kind, family in families
    ]
    if "network" in facts:
        family = {"ip_address": [{"family": "IPv4"}]}
        faces.append({"type": "private", "network": facts["network"], "ip_addresses": family})
    server = {
        "title": request.name,
        "hostname": request.name,
        "zone": request.zone,
        "plan": request.plan,
        "metadata": "yes",  # cloud-init templates refuse to be without
        "password_delivery": "none",
        "labels": {"label": marks},
        "networking": {"interfaces": {"interface": faces}},
        "storage_devices": {"storage_device": [disk]},
    }
    if taken.login_user:
        keys = {"ssh_key": [run_key, *request.ssh_keys]}
        server["login_user"] = {"username": USER, "create_password": "no", "ssh_keys": keys}
    if user_data:
        server["user_data"] = user_data
    return {"server": server}
