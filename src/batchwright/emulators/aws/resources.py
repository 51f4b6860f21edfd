"""What an emulated account holds. Later states follow from the times in a row; nothing runs in the background."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

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
    old_tags: Tags = field(default_factory=dict)  # those that are seen until then
    stopping_at: float = math.inf
    stopped_at: float = math.inf

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
        if now >= self.stopped_at:
            return 80, "stopped"
        if now >= self.stopping_at:
            return 64, "stopping"
        return (16, "running") if now >= self.ready_at else (0, "pending")

    def alive(self, now: float) -> bool:
        """Whether the instance is not yet terminated."""
        return self.gone_at is None or now < self.gone_at

    def counted(self, now: float) -> bool:
        """Whether it uses processors: not while it is stopped."""
        return self.alive(now) and now < self.stopped_at


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
