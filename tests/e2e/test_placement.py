"""Emulated clouds without room: servers go to another zone, then to another cloud, also if the command is killed."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from tests.support.command_line import Command
from tests.support.emulated import Serving

from batchwright.emulators import hetzner, upcloud
from batchwright.emulators.front import RestFront

FARM = """{ batch_workflow = {
  name = "farm", version = "1", parallel_limit = 1,
  operations = [{
    id = "workers", type = "server_batch", provider = "upcloud",
    server_configs =
      std.array.generate (fun n => { name = "w-%{std.to_string n}", plan = "1xCPU-2GB", zone = "de-fra1" }) 3,
    otherwise = [{ zone = "nl-ams1" }, { provider = "hetzner", plan = "cx23", zone = "fsn1" }],
  }],
} }"""
OF_EACH = "settle_seconds = 0.6\npoll_seconds = 0.05\nrate = 0\n"
ZONES = ["de-fra1", "fsn1", "nl-ams1"]
NO_ROOM = "SERVER_RESOURCES_UNAVAILABLE"


class Holding(RestFront):  # type: ignore[type-arg]
    """A cloud that can keep the answers to creates to itself."""

    is_silent: Callable[[], bool] = staticmethod(lambda: False)

    async def _respond(self, request: web.Request) -> web.Response:
        answer = await super()._respond(request)
        while request.method == "POST" and self.is_silent():
            await asyncio.sleep(0.01)
        return answer


class SilentUpCloud(Holding, upcloud.UpCloudEmulator):
    """See Holding."""


class SilentHetzner(Holding, hetzner.HetznerEmulator):
    """See Holding."""


class Clouds:
    """UpCloud, each of whose zones has room for one server, Hetzner, and somebody who types."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.upcloud = SilentUpCloud(upcloud.UpCloudBehaviour(time_scale=0.002, capacity=1))
        self.hetzner = SilentHetzner(hetzner.HetznerBehaviour(time_scale=0.002))

    def meet(self, upcloud_url: str, hetzner_url: str) -> None:
        (self.home / ".config/batchwright").mkdir(parents=True)
        (self.home / ".config/batchwright/config.toml").write_text(f"[upcloud]\n{OF_EACH}[hetzner]\n{OF_EACH}")
        (self.home / "farm.ncl").write_text(FARM)
        own = {"UPCLOUD_API_URL": upcloud_url, "UPCLOUD_TOKEN": upcloud.TOKEN}
        other = {"HCLOUD_ENDPOINT": f"{hetzner_url}/v1", "HCLOUD_TOKEN": hetzner.TOKEN}
        self.type = Command(self.home, **own, **other)

    def stand(self) -> dict[str, str]:
        """Where each server stands; each stands once."""
        servers = [(one["title"], one["zone"]) for one in self.upcloud.account.summary()["servers"]]
        servers += [(one["name"], "fsn1") for one in self.hetzner.account.summary()["servers"]]
        assert len(servers) == len(dict(servers)), servers
        return dict(servers)

    def kill_when(self, cloud: Holding, is_reached: Callable[[], bool], *words: str) -> None:
        """Type this, and kill the command while a cloud keeps its answer to itself."""
        cloud.is_silent = is_reached  # type: ignore[method-assign]
        process = self.type.start(*words)
        try:
            for _ in range(3000):
                if is_reached() or process.poll() is not None:
                    break
                time.sleep(0.02)
            assert is_reached(), "it was never reached"
            assert process.poll() is None, "it ended before it was killed"
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            cloud.is_silent = lambda: False  # type: ignore[method-assign]


@pytest.fixture
def clouds(tmp_path: Path) -> Iterator[Clouds]:
    found = Clouds(tmp_path)
    with Serving(found.upcloud) as one, Serving(found.hetzner) as other:
        found.meet(one.url, other.url)
        yield found


def test_killed_before_and_after_it_moves_each_server_ends_where_there_is_room(clouds: Clouds) -> None:
    refused = clouds.upcloud.account.refused
    clouds.kill_when(clouds.upcloud, lambda: refused[NO_ROOM] > 0, "run", "farm.ncl")
    assert clouds.stand() == {"w-0": "de-fra1"}, "nobody has heard yet that w-1 was refused"

    clouds.kill_when(clouds.hetzner, lambda: bool(clouds.hetzner.account.summary()["servers"]), "resume", "latest")
    where = clouds.stand()
    assert sorted(where.values()) == ZONES, "nobody has heard yet that one is at the other cloud"

    said = clouds.type("resume", "latest").stdout
    assert clouds.stand() == where, said
    status = clouds.type.json("status", "latest")
    assert {one["name"]: one["zone"] for one in status["servers"]} == where
    assert {one["name"]: one["total"] for one in status["providers"]} == {"upcloud": 2, "hetzner": 1}
    assert {one["id"]: one["provider"] for one in status["operations"]}["workers"] == "upcloud, hetzner"
    [far] = [name for name, zone in where.items() if zone == "fsn1"]
    told = clouds.type("explain", "latest", f"workers/{far}").stdout
    assert "it goes to hetzner cx23 fsn1 instead" in " ".join(told.split())

    assert "nothing to change: = 3" in clouds.type("plan", "farm.ncl").stdout
    clouds.type("rollback", "latest", "--yes")
    assert clouds.stand() == {}
    assert clouds.hetzner.account.summary()["ssh_keys"] == []
