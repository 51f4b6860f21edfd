"""The API of the cloud. This one is imaginary: its servers are rows in a file. Replace it by calls to the real one."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path


class Refused(Exception):
    """The cloud answered that it does not do this. Whatever else is raised leaves open what has happened."""


@dataclass
class Server:
    """A server as the cloud's API shows it."""

    id: str
    name: str
    plan: str
    zone: str
    image: str
    address: str
    labels: dict[str, str] = field(default_factory=dict)


class SkeletonCloud:
    """One account. Each method is one request. Raises OSError if the cloud cannot be reached."""

    plans: Sequence[str] = ("small", "large")
    zones: Sequence[str] = ("here",)

    def __init__(self, file: Path) -> None:
        self._file = file

    async def account(self) -> str:
        """The account's name."""
        return "skeleton"

    async def servers(self) -> list[Server]:
        """All servers of the account."""
        with self._rows() as rows:
            return [*rows]

    async def create(self, name: str, plan: str, zone: str, image: str, labels: dict[str, str]) -> Server:
        """Create a server. Raises Refused."""
        if plan not in self.plans or zone not in self.zones:
            raise Refused(f"there is no plan {plan} in {zone}")
        with self._rows() as rows:
            number = 1 + max((int(row.id.removeprefix("skeleton-")) for row in rows), default=0)
            rows.append(Server(f"skeleton-{number}", name, plan, zone, image, f"192.0.2.{number % 250 + 1}", labels))
            return rows[-1]

    async def delete(self, ref: str) -> None:
        """Delete a server; nothing happens if it is gone."""
        with self._rows() as rows:
            rows[:] = [row for row in rows if row.id != ref]

    @contextmanager
    def _rows(self) -> Iterator[list[Server]]:
        """What the file holds, for one process at a time; what is left of it is written."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            rows = [Server(**row) for row in json.loads(file.read() or "[]")]
            yield rows
            file.truncate(0)
            file.write(json.dumps([asdict(row) for row in rows]))
