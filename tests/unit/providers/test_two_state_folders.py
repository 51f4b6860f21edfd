"""A cloud's servers from a second state folder: their host keys are known, and a shared key is let in."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from msgspec.structs import replace
from tests.support.emulated import Running, RunningAws, RunningHetzner
from tests.support.emulated_aws import QUICK, client, set_credentials

from batchwright.app.system_clock import SystemClock
from batchwright.emulators.aws import AwsBehaviour
from batchwright.emulators.hetzner import HetznerBehaviour
from batchwright.emulators.upcloud import UpCloudBehaviour
from batchwright.model.call_outcome import Created, Observed, ServerState
from batchwright.model.ids import Token, run_id, step_token
from batchwright.model.ssh_access import ServerLogin
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.hetzner import Hetzner
from batchwright.providers.upcloud import UpCloud

KEY = " ".join(asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().split()[:2])
INSTANT = {"settle_seconds": 0.1, "poll_seconds": 0.02}
Client = Callable[[Path], Any]


@contextlib.contextmanager
def aws() -> Iterator[tuple[Client, Callable[[], list[str]]]]:
    with RunningAws(AwsBehaviour(**QUICK)) as running:  # type: ignore[arg-type]
        yield (
            lambda folder: client(running, folder),
            lambda: [key.public for region in running.account.regions.values() for key in region.keys.values()],
        )


@contextlib.contextmanager
def upcloud() -> Iterator[tuple[Client, Callable[[], list[str]]]]:
    with Running(UpCloudBehaviour(time_scale=0.0005)) as running:
        yield (
            lambda folder: UpCloud("upcloud", SystemClock(), {"state_dir": str(folder), **INSTANT}, running.environ),
            lambda: [
                key
                for server in running.emulator.account.all_servers.values()
                for key in server.asked["login_user"]["ssh_keys"]["ssh_key"]
            ],
        )


@contextlib.contextmanager
def hetzner() -> Iterator[tuple[Client, Callable[[], list[str]]]]:
    with RunningHetzner(HetznerBehaviour(time_scale=0.0005)) as running:
        yield (
            lambda folder: Hetzner("hetzner", SystemClock(), {"state_dir": str(folder), **INSTANT}, running.environ),
            lambda: [key.asked["public_key"] for key in running.emulator.account.all("ssh_keys")],
        )


CLOUDS = {"aws": (aws, "eu-central-1", "1xCPU-2GB"), "upcloud": (upcloud, "de-fra1", "1xCPU-2GB")}
CLOUDS |= {"hetzner": (hetzner, "fsn1", "cx23")}


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_credentials(monkeypatch, tmp_path)


@contextlib.asynccontextmanager
async def opened(provider: Any) -> AsyncIterator[Any]:
    await provider.open()
    try:
        yield provider
    finally:
        await provider.aclose()


async def ready(provider: Any, ref: str) -> Observed:
    async with asyncio.timeout(60):
        while (seen := (await provider.describe([ref]))[ref]).state is not ServerState.READY:
            await asyncio.sleep(0.01)
    return seen


async def create(provider: Any, cloud: str, name: str, login: ServerLogin | None) -> str:
    _, zone, plan = CLOUDS[cloud]
    (request,) = await provider.resolve([ServerConfig(name, plan, zone)])
    assert isinstance(request, ServerRequest), request
    run = run_id(os.urandom(8))
    made = await provider.create(replace(request, login=login), Token(run, step_token(run, name, 0)))
    assert isinstance(made, Created), made
    return made.ref


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_second_state_folder_knows_host_keys_and_a_shared_key_is_let_in(cloud: str, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"

    async def story(make: Client) -> None:
        async with opened(make(one)) as first, opened(make(two)) as second:
            refs = [await create(one, cloud, f"s-{i}", ServerLogin(KEY)) for i, one in enumerate((first, second))]
            for ref in refs:
                told, again = await ready(first, ref), await ready(second, ref)
                assert len(told.host_keys) == 1
                assert asyncssh.import_public_key(told.host_keys[0]).algorithm == b"ssh-ed25519"
                assert again.host_keys == told.host_keys
                here, there = (await first.access([ref]))[ref], (await second.access([ref]))[ref]
                assert here.host_keys == there.host_keys == told.host_keys
                assert (here.host, here.user) == (there.host, there.user)
            assert {one.host_keys for one in (await second.describe(refs)).values()} == {
                one.host_keys for one in await first.find()
            }

    with CLOUDS[cloud][0]() as (make, lets_in):
        asyncio.run(story(make))
        assert set(lets_in()) == {KEY}
        if cloud == "hetzner":
            assert len(lets_in()) == 1, "a key is unique in a project"
    assert not list(tmp_path.glob("*/keys/*/id_ed25519")), "a run that lets in a shared key makes none of its own"


def test_a_key_that_the_project_has_under_another_name_is_used(tmp_path: Path) -> None:
    async def story(make: Client) -> None:
        async with opened(make(tmp_path)) as provider:
            await provider._api.call("POST", "/ssh_keys", {"name": "ada", "public_key": f"{KEY} ada@laptop"})
            await create(provider, "hetzner", "a", ServerLogin(KEY))

    with RunningHetzner(HetznerBehaviour(time_scale=0.0005)) as running:
        given = {"state_dir": str(tmp_path), **INSTANT}
        account = running.emulator.account
        asyncio.run(story(lambda folder: Hetzner("hetzner", SystemClock(), given, running.environ)))
        (server,) = account.all("servers")
        assert server.asked["ssh_keys"] == ["ada"]
        assert [key.name for key in account.all("ssh_keys")] == ["ada"]
