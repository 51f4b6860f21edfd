"""A place of a fleet: an emulated UpCloud that only the workers there have credentials for."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from aiohttp import web

from batchwright.emulators.upcloud import UpCloudBehaviour, UpCloudEmulator
from tests.support.emulated import Running
from tests.support.fleet import Fleet

NAME = "far"
CONCURRENCY = 2  # calls that the account takes at a time
BEHAVIOUR = UpCloudBehaviour(
    seed=1,
    boot_seconds=0.3,
    stop_seconds=0.2,
    answer_seconds=0.1,
    list_lag=0.5,
    lost_answers=0.03,
    late_commits=0.02,
    late_min=0.1,
    late_max=1.0,
    transient=0.03,
    throttle=0.02,
    fail="*-doomed",
)


class WatchedCloud(UpCloudEmulator):
    """It knows how many creates were under way at once."""

    under_way = most = 0

    async def _respond(self, request: web.Request) -> web.Response:
        create = request.method == "POST" and request.path.endswith("/server")
        self.under_way += create
        self.most = max(self.most, self.under_way)
        try:
            return await super()._respond(request)
        finally:
            self.under_way -= create


class Place:
    """Its workers are processes of the fleet. Begin the others of the fleet within it: they call it by its name."""

    def __init__(self, fleet: Fleet) -> None:
        self.cloud = Running(cloud := WatchedCloud(BEHAVIOUR))
        self.account, self._cloud = cloud.account, cloud
        self.workers: list[str] = []
        self._fleet = fleet
        fleet.config = f'[upcloud]\nat = "{NAME}"\n'

    def begin(self, name: str) -> None:
        """A worker at the place; it takes calls when this returns."""
        if name not in self.workers:
            self.workers.append(name)
            folder = self._fleet.folder / name / ".config" / "batchwright"
            folder.mkdir(parents=True)
            own = f"[upcloud]\nsettle_seconds = 2.0\npoll_seconds = 0.2\nrate = 0\nconcurrency = {CONCURRENCY}\n"
            (folder / "config.toml").write_text(own + '[place.providers]\nupcloud = ["*"]\n')
        self._fleet.begin_worker(name, "--place", NAME, **self.cloud.environ)

    def most_at_once(self) -> int:
        """Creates that were under way in the cloud at the same time, since this was asked for the last time."""
        most, self._cloud.most = self._cloud.most, 0
        return most

    def standing(self) -> set[tuple[str, str]]:
        """Provider and reference of every server that is there; every name is there once, and no disk without one."""
        there = self.account.summary()
        servers = {one["uuid"]: one["title"] for one in there["servers"]}
        assert len(set(servers.values())) == len(servers), f"duplicates: {servers}"
        assert [one for one in there["disks"] if one["server"] not in servers] == []
        return {("upcloud", ref) for ref in servers}

    def __enter__(self) -> Self:
        self.cloud.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._fleet.stop()
        self.cloud.__exit__(kind, error, trace)
