"""Images by name: SSM parameters that their publishers point at the newest image of each region. Pure.

Debian: wiki.debian.org/Cloud/AmazonEC2Image; Ubuntu: documentation.ubuntu.com/aws; Amazon Linux: its user guide.
"""

from __future__ import annotations

from msgspec import Struct

DEFAULT = "debian-12"


class Alias(Struct, frozen=True):
    """`path` contains {arch}; `arm` and `intel` are the publisher's words for it; `login` is the user to log in as."""

    path: str
    login: str
    intel: str = "amd64"
    arm: str = "arm64"

    def parameter(self, architecture: str) -> str:
        """The parameter's name for x86_64 or arm64."""
        return self.path.format(arch=self.arm if architecture == "arm64" else self.intel)


_DEBIAN = "/aws/service/debian/release/{}/latest/{{arch}}"
_UBUNTU = "/aws/service/canonical/ubuntu/server/{}/stable/current/{{arch}}/hvm/{}/ami-id"
ALIASES = {
    "debian-12": Alias(_DEBIAN.format("12"), "admin"),
    "debian-13": Alias(_DEBIAN.format("13"), "admin"),
    "ubuntu-22.04": Alias(_UBUNTU.format("22.04", "ebs-gp2"), "ubuntu"),
    "ubuntu-24.04": Alias(_UBUNTU.format("24.04", "ebs-gp3"), "ubuntu"),
    "al2023": Alias("/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{arch}", "ec2-user", "x86_64"),
}


def is_known(image: str) -> bool:
    """Whether the image can be looked up."""
    return image in ALIASES or image.startswith(("ami-", "/"))


def parameter(image: str, architecture: str) -> str:
    """The SSM parameter that holds the image id; empty if `image` is an id itself."""
    if image in ALIASES:
        return ALIASES[image].parameter(architecture)
    return image if image.startswith("/") else ""


def login(image: str, description: str) -> str:
    """The user to log in as: by alias, otherwise by the image's name at AWS."""
    if image in ALIASES:
        return ALIASES[image].login
    words = {"ubuntu": "ubuntu", "debian": "admin", "al20": "ec2-user", "amzn": "ec2-user", "rocky": "rocky"}
    return next((user for word, user in words.items() if word in description.lower()), "ec2-user")
