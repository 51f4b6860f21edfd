"""Use cases of the base tree that this machine's servers share: show it, build it, remove it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from msgspec import Struct

from batchwright.providers.local import base_tree as tree


class BaseTree(Struct, frozen=True):
    """The base tree of this machine's servers. `used_by` are the folders of the servers that use it."""

    name: str
    path: str
    image: str
    built: bool
    bytes: int = 0
    used_by: tuple[str, ...] = ()


class BuiltTree(Struct, frozen=True):
    """A base tree, and how many seconds it took to build; 0 if it existed."""

    tree: BaseTree
    seconds: float


def base_tree() -> BaseTree:
    """The state of the base tree. Raises ProviderUnavailable."""
    place = tree.place(os.environ)
    built = place.is_dir()
    size = tree.size(place) if built else 0
    return BaseTree(place.name, str(place), tree.this_release().image, built, size, tuple(tree.users(place.name)))


def build_base(tell: Callable[[str], None]) -> BuiltTree:
    """Build the base tree unless it exists. Raises ProviderUnavailable."""
    if tree.place(os.environ).is_dir():
        return BuiltTree(base_tree(), 0.0)
    began = time.monotonic()
    tree.build(os.environ, tell)
    return BuiltTree(base_tree(), time.monotonic() - began)


def remove_base() -> BaseTree:
    """Remove the base tree; gives what was removed. Raises NotAllowed while servers use it, ProviderUnavailable."""
    there = base_tree()
    tree.remove(os.environ)
    return there
