"""Real servers behind emulated ones: each is a server of another provider, so that one can log in and install there.

The emulated account decides what exists; every little while the other provider is made to agree. A backed server is
started when the other one is ready, has its address, shows the host key and lets in the keys of the create call.
"""

from __future__ import annotations

import asyncio
import contextlib
import email
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

from batchwright.errors import ProviderUnavailable
from batchwright.model.ids import Token, step_token
from batchwright.model.outcome import Created, Gone, ServerState
from batchwright.model.plan import ServerRequest
from batchwright.model.workflow import ServerConfig
from batchwright.providers.base import Provider
from batchwright.testing.emulators.upcloud.estate import Address, Estate, Server
from batchwright.testing.emulators.upcloud.goods import PLANS

RUN = "upcloudemu"  # the label of all that backs an emulated account
ZONE = "here"
LOOK_SECONDS = 0.3
_PRIVATE = re.compile(r"^  ed25519_private: \|\n((?:    .*\n)+)", re.MULTILINE)


class Backing:
    """One open provider behind one emulated account. What an earlier emulator left with it is removed first."""

    def __init__(self, provider: Provider, estate: Estate, tell: Callable[[str], None]) -> None:
        self._provider, self._estate, self._tell = provider, estate, tell
        self._refs: dict[str, str] = {}  # emulated server -> what backs it
        self._ready: set[str] = set()
        self._busy: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        estate.backed = True

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the two alike while this lasts, and remove all of it at the end. Raises ProviderUnavailable."""
        await self.check()
        await self._remove_all()
        loop = asyncio.ensure_future(self._loop())
        try:
            yield
        finally:
            for task in (loop, *self._tasks):
                task.cancel()
            await asyncio.gather(loop, *self._tasks, return_exceptions=True)
            await self._remove_all()

    async def check(self) -> None:
        """Whether the other provider can make servers at all."""
        (answer,) = await self._provider.resolve([self._config("check", "1xCPU-1GB", "", ())])
        if not isinstance(answer, ServerRequest):
            raise ProviderUnavailable(f"{self._provider.name}: {answer[0].message}", hint=answer[0].hint)
        if not self._provider.capabilities.init:
            raise ProviderUnavailable(
                f"servers of {self._provider.name} have no service manager on this machine, so they cannot back others",
                hint="Run the emulator as root.",
            )

    async def _loop(self) -> None:
        while True:
            for server in self._estate.servers():
                if server.uuid not in self._busy | self._ready:
                    self._begin(server.uuid, self._make(server))
            for uuid in self._refs.keys() - self._estate.all_servers.keys() - self._busy:
                self._begin(uuid, self._unmake(uuid))
            await asyncio.sleep(LOOK_SECONDS)

    def _begin(self, uuid: str, work: Any) -> None:
        self._busy.add(uuid)
        task = asyncio.ensure_future(self._done(uuid, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _done(self, uuid: str, work: Any) -> None:
        """What does not work is told and tried again."""
        try:
            await work
        except Exception as error:
            self._tell(f"{uuid}: {error or type(error).__name__}")
            await asyncio.sleep(LOOK_SECONDS * 10)
        finally:
            self._busy.discard(uuid)

    async def _make(self, server: Server) -> None:
        keys = tuple(server.asked.get("login_user", {}).get("ssh_keys", {}).get("ssh_key", []))
        plan = PLANS[server.asked["plan"]]
        size = f"{plan['core_number']}xCPU-{plan['memory_amount']}MB"
        script = first_boot(str(server.asked.get("user_data", "")))
        (request,) = await self._provider.resolve([self._config(server.asked["hostname"], size, script, keys)])
        assert isinstance(request, ServerRequest), request
        made = await self._provider.create(request, Token(RUN, step_token(RUN, server.uuid, 1)))
        if not isinstance(made, Created):
            raise ProviderUnavailable(f"{self._provider.name} did not make what backs it: {made}")
        self._refs[server.uuid] = made.ref
        while True:
            seen = (await self._provider.describe([made.ref]))[made.ref]
            if seen.state is ServerState.READY and seen.address:
                break
            if seen.state in (ServerState.BROKEN, ServerState.GONE):
                raise ProviderUnavailable(f"what backs it is {seen.state}: {seen.fault and seen.fault.message}")
            await asyncio.sleep(LOOK_SECONDS)
        address = Address(seen.address, "IPv4", "public", "ee:1b:db:00:00:00", server.uuid, server.asked["zone"])
        server.addresses = [address]
        self._estate.all_addresses[address.address] = address
        server.ready_at = self._estate.clock()
        self._ready.add(server.uuid)

    def _config(self, name: str, plan: str, script: str, keys: tuple[str, ...]) -> ServerConfig:
        network = "own" if self._provider.capabilities.own_network else None
        return ServerConfig(name, plan, ZONE, ssh_keys=keys, user_data=script or None, network=network)

    async def _unmake(self, uuid: str) -> None:
        await self._destroy(self._refs[uuid])
        del self._refs[uuid]

    async def _destroy(self, ref: str) -> None:
        answer = await self._provider.destroy(ref)
        while not isinstance(answer, Gone):
            await asyncio.sleep(LOOK_SECONDS)
            answer = await self._provider.destroy(ref)

    async def _remove_all(self) -> None:
        await asyncio.gather(*(self._destroy(left.ref) for left in await self._provider.find(RUN)))


def first_boot(user_data: str) -> str:
    """What cloud-init would do with the parts of a user_data, as one script: the host key, then the user's scripts."""
    host_key, scripts = "", []
    for part in email.message_from_string(user_data).walk():
        if part.is_multipart():
            continue
        raw = part.get_payload(decode=True)
        text = raw.decode() if isinstance(raw, bytes) else ""
        if found := _PRIVATE.search(text):
            host_key = "".join(line[4:] + "\n" for line in found.group(1).splitlines())
        elif part.get_content_type() == "text/x-shellscript":
            scripts.append(text)
    lines = ["#!/bin/sh", "set -e"]
    if host_key:
        lines += ["umask 077", "cat > /etc/ssh/ssh_host_ed25519_key <<'KEY'", host_key + "KEY"]
        lines += ["ssh-keygen -y -f /etc/ssh/ssh_host_ed25519_key > /etc/ssh/ssh_host_ed25519_key.pub", "umask 022"]
        lines += ["systemctl restart ssh"]
    for number, script in enumerate(scripts):
        place = f"/var/lib/batchwright/part-{number}"
        lines += [f"cat > {place} <<'PART'", script.rstrip("\n"), "PART", f"chmod 700 {place}", place]
    return "\n".join([*lines, ""])
