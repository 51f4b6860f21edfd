"""What the emulated AWS offers: a few instance types, images and zones. Prices are invented."""

from __future__ import annotations

from dataclasses import dataclass

VCPUS = {
    "t3.micro": (2, 1024), "t3.small": (2, 2048), "t3.medium": (2, 4096), "t3.large": (2, 8192),
    "t3.xlarge": (4, 16384), "t3.2xlarge": (8, 32768), "c6i.xlarge": (4, 8192), "c6i.2xlarge": (8, 16384),
    "m6i.large": (2, 8192), "m6i.xlarge": (4, 16384), "r6i.large": (2, 16384), "t4g.small": (2, 2048),
    "t4g.medium": (2, 4096), "m7g.large": (2, 8192),
}  # fmt: skip
PRICES = {"t3.micro": 0.012, "t3.small": 0.024, "t3.medium": 0.048}
ARM = ("t4g.", "m7g.")
ZONES = ("a", "b", "c")


@dataclass
class Image:
    """A machine image. `devices` are those with a disk, the root's first."""

    id: str
    name: str
    architecture: str
    devices: tuple[str, ...]
    deprecated: bool = False  # only visible when asked for by id


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
