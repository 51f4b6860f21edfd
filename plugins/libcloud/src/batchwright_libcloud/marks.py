"""How a server is recognised as Batchwright's: by metadata or by a name in the create call. If a driver allows neither,
by a record that is written once the call was answered.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from batchwright import ServerRequest, Token
from batchwright.durable_files import alone, make_private, write
from batchwright.model.server_labels import without_marks
from batchwright_libcloud.settings import Adopt

NAME_MAX = 63 - 12 - 26 - 2  # characters of a server's name beside run and token
_NAME = re.compile(r"(.+)-([a-z2-7]{12})-([a-z2-7]{26})")
_KEYS = {field: f"batchwright-{field}" for field in ("run", "token", "name", "plan", "zone", "image")}


class Mark(Struct, frozen=True):
    """Whose a server is and what was asked for, since not all drivers report plan, zone and image."""

    run: str
    token: str
    name: str
    plan: str = ""
    zone: str = ""
    image: str = ""


def mark_of(request: ServerRequest, token: Token) -> Mark:
    """The mark of a server that is about to be created."""
    return Mark(token.run, token.value, request.name, request.plan, request.zone, request.image)


class Marks:
    """How one driver marks servers. `folder` holds the records. It reads and writes files, so call it from threads."""

    def __init__(self, way: Adopt, folder: Path) -> None:
        self._way, self._folder = way, folder

    def carried(self, mark: Mark, labels: dict[str, str]) -> dict[str, Any]:
        """The arguments of the create call that carry the mark. Raises OSError."""
        if self._way == "metadata":
            own = {key: getattr(mark, field) for field, key in _KEYS.items()}
            return {"name": mark.name, "ex_metadata": {**labels, **own}}
        if self._way == "name":
            self._write(mark.token, mark)  # before the call, for what does not fit into the name
            return {"name": f"{mark.name}-{mark.run}-{mark.token}"}
        return {"name": mark.name}

    def answered(self, mark: Mark, node: str) -> None:
        """Record the mark after the create was answered, if nothing else carries it. Raises OSError."""
        if self._way == "nothing":
            self._write(f"node {node}", mark)

    def forget(self, node: str) -> None:
        """Remove the record of a node that is gone: some clouds reuse its id. Raises OSError."""
        self._place(f"node {node}").unlink(missing_ok=True)

    def read(self, node: Any) -> Mark | None:
        """The mark of a listed node; None if it is not Batchwright's."""
        if self._way == "metadata":
            told = _metadata(node)
            found = {field: str(told.get(key, "")) for field, key in _KEYS.items()}
            return Mark(**found) if found["run"] else None
        if self._way == "nothing":
            return self._read(f"node {node.id}")
        parts = _NAME.fullmatch(str(node.name))
        return (self._read(parts[3]) or Mark(parts[2], parts[3], parts[1])) if parts else None

    def labels(self, node: Any) -> dict[str, str] | None:
        """The labels of a listed node, without Batchwright's own; None if this driver supports none."""
        if self._way != "metadata":
            return None
        return without_marks({str(key): str(value) for key, value in _metadata(node).items()})

    def _place(self, key: str) -> Path:
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"

    def _write(self, key: str, mark: Mark) -> None:
        make_private(self._folder)
        with alone(self._folder):
            write(self._place(key), msgspec.json.encode(mark))

    def _read(self, key: str) -> Mark | None:
        try:
            return msgspec.json.decode(self._place(key).read_bytes(), type=Mark)
        except FileNotFoundError:
            return None


def _metadata(node: Any) -> dict[str, Any]:
    return (node.extra or {}).get("metadata") or {}
