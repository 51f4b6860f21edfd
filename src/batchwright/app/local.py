"""Use cases of the servers on this machine: their base tree, and starting and stopping one of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from msgspec import Struct

from batchwright.providers.local import base


class BaseTree(Struct, frozen=True):
    """The base tree of this machine's servers. `used_by` are the folders of servers that lie over it."""

    name: str
    path: str
    image: str
    built: bool
    bytes: int = 0
    used_by: tuple[str, ...] = ()


class Built(Struct, frozen=True):
    """A base tree, and how long it took to build; 0 when it was there."""

    tree: BaseTree
    seconds: float


def base_tree() -> BaseTree:
    """As it is. Raises ProviderUnavailable."""
    place = base.place(os.environ)
    built = place.is_dir()
    size = base.size(place) if built else 0
    return BaseTree(place.name, str(place), base.this_release().image, built, size, tuple(base.users(place.name)))


def build_base(tell: Callable[[str], None]) -> Built:
    """Build it unless it is there. Raises ProviderUnavailable."""
    if base.place(os.environ).is_dir():
        return Built(base_tree(), 0.0)
    began = time.monotonic()
    base.build(os.environ, tell)
    return Built(base_tree(), time.monotonic() - began)


def remove_base() -> BaseTree:
    """Remove it; what was there is told. Raises NotAllowed while servers lie over it, ProviderUnavailable."""
    there = base_tree()
    base.remove(os.environ)
    return there
