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


def base_tree(image: str = "") -> BaseTree:
    """The state of the base tree of an image, "" for this machine's own. Raises ProviderUnavailable, NotAllowed."""
    release = tree.release_of(image)
    place = tree.place(os.environ, release)
    built = place.is_dir()
    size = tree.size(place) if built else 0
    return BaseTree(place.name, str(place), release.image, built, size, tuple(tree.users(place.name)))


def build_base(tell: Callable[[str], None], image: str = "") -> BuiltTree:
    """Build the base tree unless it exists. Raises ProviderUnavailable, NotAllowed."""
    release = tree.release_of(image)
    if tree.place(os.environ, release).is_dir():
        return BuiltTree(base_tree(image), 0.0)
    began = time.monotonic()
    tree.build(os.environ, tell, release)
    return BuiltTree(base_tree(image), time.monotonic() - began)


def remove_base(image: str = "") -> BaseTree:
    """Remove the base tree; gives what was removed. Raises NotAllowed while servers use it, ProviderUnavailable."""
    there = base_tree(image)
    tree.remove(os.environ, tree.release_of(image))
    return there
