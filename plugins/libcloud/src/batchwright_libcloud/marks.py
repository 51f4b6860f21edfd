"""By what a server is recognised as Batchwright's: metadata or a name that the create call carries, or, where a driver
allows neither, a record that is written when the call was answered."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from batchwright import ServerRequest, Token
from batchwright.durable_files import alone, make_private, write
from batchwright_libcloud.settings import Adopt

NAME_MAX = 63 - 12 - 26 - 2  # letters of a server's name beside run and token
_NAME = re.compile(r"(.+)-([a-z2-7]{12})-([a-z2-7]{26})")
_KEYS = {field: f"batchwright-{field}" for field in ("run", "token", "name", "plan", "zone", "image")}


class Mark(Struct, frozen=True):
    """Whose a server is, and what was asked for: drivers do not tell plan, zone and image alike."""

    run: str
    token: str
    name: str
    plan: str = ""
    zone: str = ""
    image: str = ""


def mark_of(request: ServerRequest, token: Token) -> Mark:
    """The mark of what a create call makes."""
    return Mark(token.run, token.value, request.name, request.plan, request.zone, request.image)


class Marks:
    """The way of one driver. `folder` keeps the records; call it from threads, it reads and writes files."""

    def __init__(self, way: Adopt, folder: Path) -> None:
        self._way, self._folder = way, folder

    def carried(self, mark: Mark, labels: dict[str, str]) -> dict[str, Any]:
        """The arguments of the create call that bear the mark. Raises OSError."""
        if self._way == "metadata":
            own = {key: getattr(mark, field) for field, key in _KEYS.items()}
            return {"name": mark.name, "ex_metadata": {**labels, **own}}
        if self._way == "name":
            self._write(mark.token, mark)  # before the call, for what the name has no room for
            return {"name": f"{mark.name}-{mark.run}-{mark.token}"}
        return {"name": mark.name}

    def answered(self, mark: Mark, node: str) -> None:
        """The call was answered. Where nothing else bears the mark, this is when it is known. Raises OSError."""
        if self._way == "nothing":
            self._write(f"node {node}", mark)

    def forget(self, node: str) -> None:
        """The node is gone; some clouds give its id to another one. Raises OSError."""
        self._place(f"node {node}").unlink(missing_ok=True)

    def read(self, node: Any) -> Mark | None:
        """The mark of a listed node, None for one that is not Batchwright's."""
        if self._way == "metadata":
            told = (node.extra or {}).get("metadata") or {}
            found = {field: str(told.get(key, "")) for field, key in _KEYS.items()}
            return Mark(**found) if found["run"] else None
        if self._way == "nothing":
            return self._read(f"node {node.id}")
        parts = _NAME.fullmatch(str(node.name))
        return (self._read(parts[3]) or Mark(parts[2], parts[3], parts[1])) if parts else None

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
