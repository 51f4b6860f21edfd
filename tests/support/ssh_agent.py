"""A real SSH agent for a test, with the keys that the test gives it."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.needs import tool


@contextlib.contextmanager
def ssh_agent(folder: Path, *keys: Path) -> Iterator[str]:
    """The path of its socket. It holds these private keys; it ends with the block."""
    tool("ssh-agent", "scripts/local.sh")
    socket = folder / "agent"
    with subprocess.Popen(
        ["ssh-agent", "-D", "-a", str(socket)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as agent:
        try:
            assert agent.stdout is not None
            agent.stdout.readline()  # it tells its socket once it listens
            for key in keys:
                add_key(str(socket), key)
            yield str(socket)
        finally:
            agent.kill()


def add_key(socket: str, key: Path, *options: str) -> None:
    """Give the agent a key, or take it away with `-d`."""
    line = ["ssh-add", "-q", *options, str(key)]
    subprocess.run(line, env={"SSH_AUTH_SOCK": socket, "PATH": "/usr/bin:/bin"}, check=True, capture_output=True)
