"""Where a task service is installed: the environments that keep it, and on which of their servers."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from batchwright.model.environment import SIMULATED, EnvironmentKey, Resource
from batchwright.views.environment import TASKSERV

SERVERS_MOST = 20  # named per environment


class TaskservEnvironment(Struct, frozen=True):
    """An environment that has the task service, and in which versions. `servers_more` servers are not named."""

    name: str
    simulated: bool
    versions: tuple[str, ...]
    servers: tuple[str, ...]
    servers_more: int = 0


def taskserv_environments(
    resources: Iterable[tuple[EnvironmentKey, Resource]],
) -> dict[str, tuple[TaskservEnvironment, ...]]:
    """For each entry of the catalogue that any environment has installed: those environments, ordered by name."""
    found: dict[str, dict[EnvironmentKey, list[Resource]]] = {}
    for key, one in resources:
        if one.kind == TASKSERV:
            entry = str(one.request.get("entry") or one.name)
            found.setdefault(entry, {}).setdefault(key, []).append(one)
    return {
        name: tuple(_environment(key, own) for key, own in sorted(users.items(), key=lambda user: user[0].name))
        for name, users in sorted(found.items())
    }


def _environment(key: EnvironmentKey, own: list[Resource]) -> TaskservEnvironment:
    servers = sorted({one.server for one in own})
    versions = tuple(sorted({str(one.request.get("version", "")) for one in own}))
    named = tuple(servers[:SERVERS_MOST])
    return TaskservEnvironment(key.name, key.space == SIMULATED, versions, named, len(servers) - len(named))
