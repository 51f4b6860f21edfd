"""What the runs of a store recorded about servers that exist: whose they are, what is on them, how to log in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from batchwright.errors import RunNotFound
from batchwright.journal.base import Journal
from batchwright.journal.environment_state import environment_state
from batchwright.journal.replay import load_run
from batchwright.model.call_outcome import Observed
from batchwright.model.environment import EnvironmentKey, Resource
from batchwright.model.environment_fold import turn_changes
from batchwright.model.ssh_access import ServerLogin
from batchwright.operations.server_login import recorded_login


class RecordedServer(Struct, frozen=True):
    """A server as an environment has it."""

    environment: str
    operation: str
    taskservs: tuple[str, ...]
    login: ServerLogin


class RecordedServers:
    """Reads from one store, each environment once."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._known: dict[EnvironmentKey, dict[tuple[str, str], RecordedServer]] = {}
        self._all: dict[tuple[str, str], RecordedServer] | None = None

    async def of(self, provider: str, servers: Iterable[Observed]) -> dict[str, RecordedServer]:
        """By reference; a server of which nothing is recorded is missing. Raises StoreError."""
        found: dict[str, RecordedServer] = {}
        for one in servers:
            recorded = (await self._environment_of(one.run)).get((provider, one.ref))
            recorded = recorded or (await self._anywhere()).get((provider, one.ref))
            if recorded is not None:
                found[one.ref] = recorded
        return found

    async def _environment_of(self, run: str) -> Mapping[tuple[str, str], RecordedServer]:
        try:
            key = (await self._journal.summary(run)).environment_key
        except RunNotFound:
            return {}
        return await self._of(key)

    async def _of(self, key: EnvironmentKey) -> dict[tuple[str, str], RecordedServer]:
        if key not in self._known:
            self._known[key] = _servers(key.name, await resources_now(self._journal, key))
        return self._known[key]

    async def _anywhere(self) -> dict[tuple[str, str], RecordedServer]:
        """Those of all environments: one of them may have taken over a server that a run of no environment created."""
        if self._all is None:
            self._all = {}
            for row in await self._journal.environments():
                self._all |= await self._of(row.key)
        return self._all


async def resources_now(journal: Journal, key: EnvironmentKey) -> dict[str, Resource]:
    """What an environment has, by key; during a turn, what the turn has done so far. Raises StoreError."""
    state = await environment_state(journal, key, None)
    resources = {one.key: one for one in state.resources}
    if state.row is not None and state.row.tenant and state.row.turn:
        return turn_changes(resources, await load_run(journal, state.row.tenant), state.row.turn).resources
    return resources


def _servers(environment: str, resources: Mapping[str, Resource]) -> dict[tuple[str, str], RecordedServer]:
    services: dict[tuple[str, str], list[str]] = {}
    for one in resources.values():
        if one.server and one.kind == "taskserv":
            services.setdefault((one.server, one.ref), []).append(one.name)
    return {
        (one.provider, one.ref): RecordedServer(
            environment, one.operation, tuple(sorted(services.get((one.name, one.ref), ()))), recorded_login(one)
        )
        for one in resources.values()
        if not one.server and one.ref
    }
