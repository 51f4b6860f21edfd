"""An environment's row and resources as the queries take them."""

from __future__ import annotations

from typing import Any

from batchwright.journal.environment_rows import EnvironmentWrite, environment_row, resource_row


def environment_values(change: EnvironmentWrite, seen: bytes | None) -> dict[str, Any]:
    """What the queries take that write an environment; `seen` is the digest of the row they write over."""
    key = change.environment.key
    body, digest = environment_row(change.environment)
    changed = [[one.key, *resource_row(key, one)] for one in change.changed]
    values = {"space": key.space, "name": key.name, "seen": seen, "body": body, "digest": digest}
    return values | {"changed": changed, "gone": list(change.gone)}
