"""What the simulated places offer under their names: plans with a price, zones, images. Other names accept anything."""

from __future__ import annotations

import hashlib

from msgspec import Struct

from batchwright.model.diagnostic import Diagnostic
from batchwright.model.workflow import ServerConfig
from batchwright.providers.diagnostics import not_offered


class Profile(Struct, frozen=True):
    """One place. `plans` are prices per hour; an empty table of plans, zones or images means that any name is good."""

    plans: dict[str, float] = {}
    zones: tuple[str, ...] = ()
    images: dict[str, str] = {}  # name -> the place's own id
    default_image: str = "debian-12"
    currency: str = "EUR"
    destroys: bool = True  # else its servers were there before
    arm: frozenset[str] = frozenset()  # plans whose processors run no programs of the others
    free: bool = False  # its servers cost nothing

    def problems(self, config: ServerConfig) -> list[Diagnostic]:
        """What is wrong with a configuration here."""
        image = config.image or self.default_image
        asked = (("plan", config.plan, self.plans), ("zone", config.zone, self.zones), ("image", image, self.images))
        return [
            not_offered(field, value, offered, f'there is no {field} "{value}" here')
            for field, value, offered in asked
            if offered and value not in offered
        ]

    def offers(self, plan: str, zone: str) -> bool:
        """Whether the place itself would take a request for this."""
        return (not self.plans or plan in self.plans) and (not self.zones or zone in self.zones)

    def image_id(self, image: str) -> str:
        """The id of an image; made up, but always the same, where any name is good."""
        return self.images.get(image) or "image-" + hashlib.sha256(image.encode()).hexdigest()[:12]

    def unlike(self, plan: str, other: str) -> str:
        """Why a server of one plan cannot get the other; empty if it can."""
        if (plan in self.arm) == (other in self.arm):
            return ""
        return f"{other} has another processor architecture than {plan}"

    def price(self, plan: str) -> float | None:
        """Per hour, None where there is no price list."""
        return self.plans.get(plan)


_TEMPLATE = "01000000-0000-4000-8000-"  # how UpCloud numbers its public templates

PROFILES: dict[str, Profile] = {
    "static": Profile(destroys=False, free=True),
    "upcloud": Profile(
        plans={
            "1xCPU-1GB": 0.0104,
            "1xCPU-2GB": 0.0193,
            "2xCPU-4GB": 0.0387,
            "4xCPU-8GB": 0.0774,
            "6xCPU-16GB": 0.1548,
            "8xCPU-32GB": 0.3095,
            "12xCPU-48GB": 0.4643,
            "16xCPU-64GB": 0.619,
            "20xCPU-96GB": 0.9286,
            "20xCPU-128GB": 1.2381,
        },
        zones=(
            "au-syd1",
            "de-fra1",
            "dk-cph1",
            "es-mad1",
            "fi-hel1",
            "fi-hel2",
            "nl-ams1",
            "pl-waw1",
            "se-sto1",
            "sg-sin1",
            "uk-lon1",
            "us-chi1",
            "us-nyc1",
            "us-sjo1",
        ),
        images={
            "debian-11": _TEMPLATE + "000020060100",
            "debian-12": _TEMPLATE + "000020070100",
            "debian-13": _TEMPLATE + "000020080100",
            "ubuntu-22.04": _TEMPLATE + "000030220200",
            "ubuntu-24.04": _TEMPLATE + "000030240200",
        },
    ),
    "aws": Profile(
        plans={
            "1xCPU-1GB": 0.0104,  # the sizes that mean a type there
            "1xCPU-2GB": 0.0208,
            "2xCPU-4GB": 0.0416,
            "2xCPU-8GB": 0.0832,
            "4xCPU-8GB": 0.17,
            "4xCPU-16GB": 0.1664,
            "8xCPU-16GB": 0.34,
            "8xCPU-32GB": 0.3328,
            "t3.micro": 0.0104,
            "t3.small": 0.0208,
            "t3.medium": 0.0416,
            "t3.large": 0.0832,
            "t4g.small": 0.0168,
            "t4g.medium": 0.0336,
            "m6i.large": 0.096,
            "m6i.xlarge": 0.192,
            "m7g.large": 0.0816,
            "c6i.large": 0.085,
            "c6i.xlarge": 0.17,
            "r6i.large": 0.126,
        },
        arm=frozenset({"t4g.small", "t4g.medium", "m7g.large"}),
        zones=tuple(
            region + zone
            for region in ("us-east-1", "us-east-2", "us-west-2", "eu-central-1", "eu-west-1", "ap-southeast-1")
            for zone in ("", "a", "b", "c")
        ),
        images={
            name: "ami-" + hashlib.sha256(name.encode()).hexdigest()[:17]
            for name in ("debian-12", "debian-13", "ubuntu-22.04", "ubuntu-24.04", "al2023")
        },
        currency="USD",
    ),
    "simulated": Profile(
        plans={"small": 0.01, "medium": 0.02, "large": 0.04},
        zones=("zone-a", "zone-b", "zone-c"),
        images={name: name for name in ("debian-12", "debian-13", "ubuntu-24.04")},
    ),
    "local": Profile(default_image="base", free=True),
}


def profile_of(name: str) -> Profile:
    """The profile of a provider's name; of a name that is not known, one that accepts anything."""
    return PROFILES.get(name, Profile())
