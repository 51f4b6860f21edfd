"""Servers as other tools that log in to them name them: one plain word each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from batchwright.model.ssh_access import SshAccess

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
_TAKEN = ("all", "ungrouped", "localhost")  # words that mean something else to Ansible


class LoginHost(Struct, frozen=True):
    """A server that can be logged in to. `alias` is its name, or its reference where the name is not unique or no word.

    `known_hosts` is the file with the host keys that are trusted.
    """

    alias: str
    provider: str
    ref: str
    run: str
    zone: str
    plan: str
    environment: str
    operation: str
    taskservs: tuple[str, ...]
    access: SshAccess
    known_hosts: str


def aliases(servers: Iterable[tuple[str, str]]) -> list[str]:
    """A word for each (name, reference) that stands for no other server.

    >>> aliases([("web", "up-1"), ("db", "up-2"), ("db", "eu/i-3"), ("a *", "up-4")])
    ['web', 'up-2', 'eu-i-3', 'up-4']
    """
    pairs = list(servers)
    count = Counter(name for name, _ in pairs)
    free = {name for name, times in count.items() if times == 1 and _WORD.fullmatch(name) and name not in _TAKEN}
    return [name if name in free else re.sub(r"[^A-Za-z0-9._-]", "-", ref).lstrip(".-_") for name, ref in pairs]
