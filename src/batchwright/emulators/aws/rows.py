"""What an emulated account holds. Later states follow from the times in a row; nothing runs in the background."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

VCPUS = {
    "t3.micro": (2, 1024), "t3.small": (2, 2048), "t3.medium": (2, 4096), "t3.large": (2, 8192),
    "t3.xlarge": (4, 16384), "t3.2xlarge": (8, 32768), "c6i.xlarge": (4, 8192), "c6i.2xlarge": (8, 16384),
    "m6i.large": (2, 8192), "m6i.xlarge": (4, 16384), "r6i.large": (2, 16384), "t4g.small": (2, 2048),
    "t4g.medium": (2, 4096), "m7g.large": (2, 8192),
}  # fmt: skip
PRICES = {"t3.micro": 0.012, "t3.small": 0.024, "t3.medium": 0.048}  # invented, and in no other type
ARM = ("t4g.", "m7g.")
ZONES = ("a", "b", "c")

Tags = dict[str, str]


@dataclass
class Instance:
    """`digest` is of everything but the token; a create with the same token must have the same."""

    id: str
    zone: str
    subnet: str
    vpc: str
    token: str
    digest: str
    arguments: dict[str, Any]
    tags: Tags
    private: str
    public: str
    made_at: float
    visible_at: float
    ready_at: float
    breaks: bool = False
    ending_at: float | None = None
    gone_at: float | None = None
    reason: tuple[str, str] = ("", "")
    tagged_at: float = 0.0  # from when on its tags are seen

    @property
    def groups(self) -> list[str]:
        """Ids of its security groups."""
        return list(self.arguments.get("SecurityGroupIds", ()))

    def state(self, now: float) -> tuple[int, str]:
        """AWS's code and name of its state."""
        if self.gone_at is not None and now >= self.gone_at:
            return 48, "terminated"
        if self.ending_at is not None and now >= self.ending_at:
            return 32, "shutting-down"
        return (16, "running") if now >= self.ready_at else (0, "pending")

    def alive(self, now: float) -> bool:
        """Not yet terminated."""
        return self.gone_at is None or now < self.gone_at


@dataclass
class AwsVolume:
    """A disk; `instance` is empty once it is detached."""

    id: str
    zone: str
    device: str
    instance: str
    ends_with_instance: bool
    tags: Tags
    visible_at: float
    tagged_at: float = 0.0


@dataclass
class Interface:
    """A network interface; `instance` is empty once it is detached."""

    id: str
    zone: str
    subnet: str
    vpc: str
    instance: str
    groups: list[str]
    tags: Tags
    visible_at: float
    tagged_at: float = 0.0
    ends_with_instance: bool = True
    number: int = 0  # of the device

    @property
    def attachment(self) -> str:
        """The id of its attachment."""
        return f"eni-attach-{self.id.removeprefix('eni-')}"


@dataclass
class Group:
    """A security group."""

    id: str
    name: str
    text: str
    vpc: str
    tags: Tags
    visible_at: float
    rules: list[dict[str, Any]] = field(default_factory=list)
    tagged_at: float = 0.0


@dataclass
class Key:
    """A key pair; only its public half was ever here."""

    id: str
    name: str
    public: str
    tags: Tags
    visible_at: float
    tagged_at: float = 0.0


@dataclass
class Image:
    """A machine image. `devices` are those with a disk, the root's first."""

    id: str
    name: str
    architecture: str
    devices: tuple[str, ...]
    deprecated: bool = False  # seen only by who names its id


IMAGES = [
    Image("ami-0000000000000deb12", "debian-12-amd64-20261101-2100", "x86_64", ("/dev/xvda",)),
    Image("ami-0000000000000deb13", "debian-13-amd64-20261101-2100", "x86_64", ("/dev/xvda",)),
    Image("ami-000000000000deb13a", "debian-13-arm64-20261101-2100", "arm64", ("/dev/xvda",)),
    Image("ami-000000000000002204", "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server", "x86_64", ("/dev/sda1",)),
    Image("ami-000000000000002404", "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server", "x86_64",
          ("/dev/sda1", "/dev/sdb")),
    Image("ami-0000000000000001d0", "debian-12-amd64-20240102-1614", "x86_64", ("/dev/xvda",), deprecated=True),
    Image("ami-00000000000000a123", "al2023-ami-2023.9-kernel-6.1-x86_64", "x86_64", ("/dev/xvda",)),
]  # fmt: skip

_CANONICAL = "/aws/service/canonical/ubuntu/server/"
PARAMETERS = {
    "/aws/service/debian/release/12/latest/amd64": "ami-0000000000000deb12",
    "/aws/service/debian/release/13/latest/amd64": "ami-0000000000000deb13",
    "/aws/service/debian/release/13/latest/arm64": "ami-000000000000deb13a",
    f"{_CANONICAL}22.04/stable/current/amd64/hvm/ebs-gp2/ami-id": "ami-000000000000002204",
    f"{_CANONICAL}24.04/stable/current/amd64/hvm/ebs-gp3/ami-id": "ami-000000000000002404",
    "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64": "ami-00000000000000a123",
}
