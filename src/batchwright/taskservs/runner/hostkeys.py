"""Host keys that are known beforehand, as the text of a known_hosts file. Nothing is trusted on first use."""

from __future__ import annotations

from collections.abc import Iterable

from batchwright.model.access import Access

SSH_PORT = 22


def known_hosts(accesses: Iterable[Access]) -> str:
    """One line per key of each server and of the servers on the way to it."""
    lines: dict[str, None] = {}
    for access in accesses:
        hop: Access | None = access
        while hop is not None:
            where = hop.host if hop.port == SSH_PORT else f"[{hop.host}]:{hop.port}"
            lines.update(dict.fromkeys(f"{where} {' '.join(key.split()[:2])}\n" for key in hop.host_keys))
            hop = hop.jump
    return "".join(lines)


def unknown(access: Access) -> str | None:
    """The server on the way, or at its end, of which no host key is known; None when all are."""
    hop: Access | None = access
    while hop is not None:
        if not hop.host_keys:
            return hop.host
        hop = hop.jump
    return None
