"""The servers of the simulated clouds and what is installed on them.

Nothing runs in the background. A late commit, a boot, list lag, a destroy: each is a time written into the row when the
cloud received the call, so a killed client loses nothing and a second client sees the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from batchwright.errors import ProviderUnavailable
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.simulated.world_file import WorldFile
from batchwright.providers.simulated.world_records import (
    Attempted,
    Change,
    DestroyRequested,
    Installed,
    Removed,
    ServerAdded,
    ServerChanged,
    SimulatedCall,
    SimulatedServer,
    StartRequested,
    StopRequested,
)


class World:
    """All simulated clouds together. With a path every change is in that file before the cloud answers.

    Several processes may use one file: whoever changes something does it inside `turn`, whoever only looks calls
    `refresh` first. Looking and changing are cheap dictionary work when there is no file.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.turn: AbstractContextManager[object] = nullcontext()
        self.calls: list[SimulatedCall] | None = None
        self._file: WorldFile | None = None
        self._clear()
        if path is not None:
            self._file = WorldFile(path, self._apply, self._clear)
            self.turn = self._file
            try:
                self.refresh()
            except ProviderUnavailable:
                self.close()
                raise

    def _clear(self) -> None:
        self._servers: dict[str, SimulatedServer] = {}
        self._by_token: dict[str, list[SimulatedServer]] = {}
        self._by_run: dict[str, list[SimulatedServer]] = {}
        self._by_account: dict[str, list[SimulatedServer]] = {}
        self._installed: dict[str, dict[str, str]] = {}
        self._attempts: dict[str, int] = {}

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._file is not None:
            self._file.close()

    def refresh(self) -> None:
        """Read the changes of other processes."""
        if self._file is not None:
            self._file.catch_up()

    @property
    def latest(self) -> float:
        """When something was last asked for, about. The clouds' time does not go back where this machine's does."""
        return max(
            (max(server.committed_at, server.destroy_requested_at or 0.0) for server in self._servers.values()),
            default=0.0,
        )

    # What the clouds do; with a file only inside `turn`.

    def add(self, server: SimulatedServer) -> None:
        """A create took effect, or will at its committed_at."""
        self._change(ServerAdded(server)) if self._file else self._added(server)

    def destroy(self, ref: str, at: float, gone_at: float) -> None:
        """A destroy took effect; it is over at `gone_at`."""
        self._change(DestroyRequested(ref, at, gone_at))

    def stop(self, ref: str, stopped_at: float) -> None:
        """A stop took effect; it is over at `stopped_at`."""
        self._change(StopRequested(ref, stopped_at))

    def start(self, ref: str, ready_at: float) -> None:
        """A start took effect; it is over at `ready_at`."""
        self._change(StartRequested(ref, ready_at))

    def change(self, ref: str, request: ServerRequest) -> None:
        """A server has the plan and the labels of this request now."""
        self._change(ServerChanged(ref, request))

    def attempt(self, key: str) -> int:
        """Count one more call of this kind, from 1. It is durable, so that a restarted run draws the next fault."""
        self._change(Attempted(key))
        return self._attempts[key]

    def install(self, ref: str, taskserv: str, version: str) -> None:
        """A task service is on the server now."""
        self._change(Installed(ref, taskserv, version))

    def remove(self, ref: str, taskserv: str) -> None:
        """A task service is no longer on the server."""
        self._change(Removed(ref, taskserv))

    def plant(self, server: SimulatedServer) -> None:
        """Add a foreign server, to check that it is not touched."""
        with self.turn:
            self.add(server)

    def _change(self, change: Change) -> None:
        if self._file is not None:
            self._file.append(change)
        self._apply(change)

    def _apply(self, change: Change) -> None:
        match change:
            case ServerAdded(server):
                self._added(server)
            case DestroyRequested(ref, at, gone_at):
                self._servers[ref].destroy_requested_at = at
                self._servers[ref].gone_at = gone_at
            case StopRequested(ref, stopped_at):
                self._servers[ref].stopped_at = stopped_at
            case StartRequested(ref, ready_at):
                self._servers[ref].stopped_at = None
                self._servers[ref].ready_at = ready_at
            case ServerChanged(ref, request):
                self._servers[ref].request = request
            case Attempted(key):
                self._attempts[key] = self._attempts.get(key, 0) + 1
            case Installed(ref, taskserv, version):
                self._installed.setdefault(ref, {})[taskserv] = version
            case Removed(ref, taskserv):
                self._installed.get(ref, {}).pop(taskserv, None)

    def _added(self, server: SimulatedServer) -> None:
        self._servers[server.ref] = server
        self._by_account.setdefault(server.account, []).append(server)
        if server.token:
            self._by_token.setdefault(server.token, []).append(server)
        if server.run:
            self._by_run.setdefault(server.run, []).append(server)

    # What can be seen of it. Callers that share a file refresh first.

    def next_serial(self) -> int:
        """The number of the next server that is made, counted over all clouds; rows are never taken out."""
        return len(self._servers) + 1

    def server(self, ref: str) -> SimulatedServer | None:
        """The row of this server, if there ever was one."""
        return self._servers.get(ref)

    def labelled(self, account: str, run: str | None, token: str | None) -> Iterator[SimulatedServer]:
        """The account's rows that carry these labels; with neither, all that carry a run's label."""
        if token is not None:
            rows = self._by_token.get(token, [])
        elif run is not None:
            rows = self._by_run.get(run, [])
        else:
            rows = self._by_account.get(account, [])
        return (s for s in rows if s.account == account and s.run and (run is None or s.run == run))

    def in_account(self, account: str) -> list[SimulatedServer]:
        """All rows of an account, gone ones too."""
        return self._by_account.get(account, [])

    def installed_on(self, ref: str) -> dict[str, str]:
        """Task services on a server with their versions, whether or not the server still exists."""
        return self._installed.get(ref, {})

    # For tests and reports.

    def servers(self, now: float | None = None) -> list[SimulatedServer]:
        """What exists at `now`, visible or not. Without `now`: what will be left once everything in progress has
        finished.
        """
        self.refresh()
        if now is None:
            return [s for s in self._servers.values() if s.gone_at is None]
        return [s for s in self._servers.values() if s.exists(now)]

    def installed(self) -> dict[str, dict[str, str]]:
        """ref -> task service -> version, on servers that are left."""
        return {s.ref: dict(self.installed_on(s.ref)) for s in self.servers() if self.installed_on(s.ref)}

    def duplicates(self) -> dict[str, int]:
        """Tokens that more than one server is left of, with how many."""
        counts = Counter(s.token for s in self.servers() if s.token)
        return {token: n for token, n in counts.items() if n > 1}

    def record_calls(self) -> list[SimulatedCall]:
        """Begin to log the calls of this process; gives the list that grows."""
        if self.calls is None:
            self.calls = []
        return self.calls
