"""An SSH server in the test's own process, which runs what it is sent with a real shell."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
from asyncssh.packet import UInt32

from batchwright.app.system_clock import SystemClock
from batchwright.commands.base import CommandServer, Launch
from batchwright.commands.process_marker import ProcessMarker
from batchwright.commands.ssh import SshCommands
from batchwright.model.ssh_access import SshAccess
from batchwright.secret_resolver import reveal
from tests.support.children import child

ENVIRON = {"SECRET_OF_OURS": "hunter2 and more"}
WITHOUT = {name: value for name, value in os.environ.items() if not name.startswith("BATCHWRIGHT_")}


class Forwarding(asyncssh.SSHServer):
    """Lets connections be made through it."""

    def connection_requested(self, *_where: object) -> bool:
        return True


class ShellHost:
    """An SSH server that runs what it is sent with a real shell. `commands` are its command lines."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commands: list[str] = []
        self.said: list[str] = []
        self.connections: list[Any] = []
        self.there = SshCommands(ENVIRON, lambda one: reveal(one, ENVIRON), SystemClock())
        self.access = SshAccess("127.0.0.1")

    @asynccontextmanager
    async def up(self) -> AsyncIterator[ShellHost]:
        own, user = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519")
        key = self.folder / "id"
        user.write_private_key(key)
        (self.folder / "authorized").write_bytes(user.export_public_key())
        server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[own],
            authorized_client_keys=str(self.folder / "authorized"),
            server_factory=Forwarding,
            process_factory=self._serve,
            encoding=None,
        )
        public = own.export_public_key().decode().strip()
        self.access = SshAccess("127.0.0.1", "tester", server.get_port(), str(key), (public,))
        try:
            yield self
        finally:
            for connection in self.connections:
                connection.abort()
            server.close()
            await server.wait_closed()

    async def _serve(self, process: Any) -> None:
        self.commands.append(process.command)
        self.connections.append(process.channel.get_connection())
        script = await process.stdin.read()
        pipe = asyncio.subprocess.PIPE
        async with child(
            "/bin/sh", "-c", process.command, stdin=pipe, stdout=pipe, cwd=self.folder, env=WITHOUT
        ) as local:
            assert local.stdin is not None
            assert local.stdout is not None
            local.stdin.write(script)
            local.stdin.close()
            ended = asyncio.create_task(self._end(process, local))
            while data := await local.stdout.read(1000):
                process.stdout.write(data)
            code = await ended
        process.exit_with_signal("KILL") if code == -9 else process.close()

    async def _end(self, process: Any, local: asyncio.subprocess.Process) -> int:
        """Tell the exit code at once, as OpenSSH does; the channel stays open for as long as anything may write."""
        while local.returncode is None:
            await asyncio.sleep(0.01)
        if local.returncode >= 0:
            process.channel._send_request(b"exit-status", UInt32(local.returncode))
        return local.returncode

    def launch(self, **rest: Any) -> Launch:
        on = CommandServer("web-01", "127.0.0.1", "local", "here", self.access)
        return Launch("run", "do/web-01", f"{self.folder.name}-mark", on=on, tell=self.said.append, **rest)

    def survivors(self) -> list[int]:
        return ProcessMarker(self.folder, f"{self.folder.name}-mark").survivors()
