"""Machines that SSH reaches: asyncssh's servers on loopback, in a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import asyncssh

T = TypeVar("T")
PATIENCE = 60.0

# What `id` and `sudo` say to everybody but root, and to root, whoever runs the tests.
_ID = '#!/bin/sh\n[ "$LOGIN" = root ] && echo 0 || echo 1000\n'
_SUDO = '#!/bin/sh\n[ "$LOGIN" = admin ]\n'


class Machine:
    """One server. `host_key` is its public key as it stands in a workflow."""

    def __init__(self, listener: asyncssh.SSHAcceptor, host: str, host_key: str) -> None:
        self.listener, self.host, self.port, self.host_key = listener, host, listener.get_port(), host_key

    def options(self, **more: Any) -> dict[str, Any]:
        """What a workflow says of it, with all that is optional but the key."""
        return {"address": self.host, "port": self.port, "user": "root", "host_key": self.host_key, **more}


class _Guest(asyncssh.SSHServer):
    def connection_requested(self, *_: object) -> bool:
        return True  # it is a jump host too


class Machines:
    """All machines of a test, and the one key that they let in. Commands are run by this machine's shell."""

    def __init__(self, folder: Path) -> None:
        self.key = folder / "client key"
        self._bin = folder / "bin"
        self._bin.mkdir()
        for name, text in (("id", _ID), ("sudo", _SUDO)):
            (self._bin / name).write_text(text)
            (self._bin / name).chmod(0o755)
        private = asyncssh.generate_private_key("ssh-ed25519")
        private.write_private_key(str(self.key))
        self.key.chmod(0o600)
        self._client = asyncssh.import_authorized_keys(private.export_public_key().decode())
        self._listening: list[Machine] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def start(self, host: str = "127.0.0.1", port: int = 0, host_key: asyncssh.SSHKey | None = None) -> Machine:
        """A new one, with a host key of its own."""
        machine = self._do(self._start(host, port, host_key or asyncssh.generate_private_key("ssh-ed25519")))
        self._listening.append(machine)
        return machine

    async def _start(self, host: str, port: int, host_key: asyncssh.SSHKey) -> Machine:
        listener = await asyncssh.listen(
            host,
            port,
            server_factory=_Guest,
            server_host_keys=[host_key],
            authorized_client_keys=self._client,
            process_factory=self._process,
        )
        return Machine(listener, host, " ".join(host_key.export_public_key().decode().split()[:2]))

    async def _process(self, process: asyncssh.SSHServerProcess[str]) -> None:
        user = shlex.quote(process.get_extra_info("username"))
        command = f"LOGIN={user} PATH={shlex.quote(str(self._bin))}:$PATH; export LOGIN PATH; {process.command}"
        asked = await process.stdin.read()
        child = await asyncio.to_thread(
            subprocess.run, ["/bin/sh", "-c", command], input=asked, capture_output=True, text=True
        )
        process.stdout.write(child.stdout)
        process.stderr.write(child.stderr)
        process.exit(child.returncode)

    def stop(self, machine: Machine) -> None:
        """As if it were switched off."""
        self._listening.remove(machine)
        self._do(self._stop(machine))

    async def _stop(self, machine: Machine) -> None:
        machine.listener.close()
        await machine.listener.wait_closed()

    def close(self) -> None:
        """Stop all of them, and the thread."""
        for machine in tuple(self._listening):
            self.stop(machine)
        self._do(self._drain())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    async def _drain(self) -> None:
        """Connections that clients have left may still be saying good-bye."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._loop.shutdown_default_executor()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)
