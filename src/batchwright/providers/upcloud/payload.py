"""The body of a create call. Pure."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from batchwright.model.ids import Token
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.host_key_label import LABEL, to_label
from batchwright.providers.upcloud.rows import IMAGE, NAME, RUN, TOKEN, title_mark

USER = "root"  # whom the templates let in


def labels(request: ServerRequest, token: Token) -> list[dict[str, str]]:
    """What the server and its disk are known by, from their first moment."""
    own = {RUN: token.run, TOKEN: token.value, NAME: request.name, IMAGE: request.image}
    return [{"key": key, "value": value} for key, value in {**request.labels, **own}.items()]


class SupportedCreateFields(Struct, frozen=True):
    """Which parts of a create call UpCloud takes: no recorded call has them. What is refused goes another way."""

    disk_labels: bool = True  # else the disk has a mark in its title, and is labelled after the create
    login_user: bool = True  # else cloud-init lets the keys in

    def both(self, other: SupportedCreateFields) -> SupportedCreateFields:
        """The fields that both support."""
        return SupportedCreateFields(self.disk_labels and other.disk_labels, self.login_user and other.login_user)

    def without(self, code: str, message: str) -> SupportedCreateFields:
        """After a refusal; the same where it is about neither."""
        said = f"{code} {message}".lower()
        if self.login_user and ("login_user" in said or "ssh_key" in said or "username" in said):
            return replace(self, login_user=False)
        if self.disk_labels and ("label" in said or code == "UNKNOWN_ATTRIBUTE"):
            return replace(self, disk_labels=False)
        return self


ALL_TAKEN = SupportedCreateFields()


def create_body(
    request: ServerRequest,
    token: Token,
    login_key: str,
    user_data: str,
    host_key: str = "",
    taken: SupportedCreateFields = ALL_TAKEN,
) -> dict[str, object]:
    """Everything in one call. The firewall is left as the API leaves it: off. `host_key`: the public one, if known."""
    marks, facts = labels(request, token), request.resolved
    own = [{"key": LABEL, "value": to_label(host_key)}] if host_key else []
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
        "labels": {"label": [*marks, *own]},
        "networking": {"interfaces": {"interface": faces}},
        "storage_devices": {"storage_device": [disk]},
    }
    if taken.login_user:
        keys = {"ssh_key": [login_key, *request.ssh_keys]}
        server["login_user"] = {"username": USER, "create_password": "no", "ssh_keys": keys}
    if user_data:
        server["user_data"] = user_data
    return {"server": server}
