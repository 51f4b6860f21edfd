"""The whole way for real: servers on this machine, redis on them, a SIGKILL half-way, and nothing left at the end."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.sandboxes import leftovers, need_sandboxes
from tests.served import COMMAND, PATIENCE, Command

SERVERS = ("one", "two")


def workflow(folder: Path) -> Path:
    """Two servers, redis on both."""
    configs = [{"name": name, "plan": "1xCPU-512MB", "zone": "here"} for name in SERVERS]
    servers = {"id": "servers", "type": "server_batch", "provider": "local", "server_configs": configs}
    redis = {"id": "cache", "type": "taskserv_batch", "provider": "local", "dependencies": ["servers"],
             "taskservs": ["redis"]}  # fmt: skip
    file = folder / "two.json"
    inner = {"name": "two", "version": "1", "operations": [servers, redis]}
    file.write_text(json.dumps({"batch_workflow": inner}))
    return file


def ping(address: str) -> bytes:
    """What the redis there answers."""
    with socket.create_connection((address, 6379), timeout=PATIENCE) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(64)


def killed_at(command: Command, sign: str, *words: str) -> None:
    """Start it, and kill it when it says this."""
    process = subprocess.Popen(
        [*COMMAND, *words], env=command.env, cwd=command.home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    with process.stdout:
        seen = []
        for line in process.stdout:
            seen.append(line)
            if sign in line:
                break
        else:
            raise AssertionError("".join(seen))
        process.send_signal(signal.SIGKILL)
    assert process.wait(PATIENCE) == -signal.SIGKILL


def test_two_servers_with_redis_killed_half_way_resumed_and_rolled_back(tmp_path: Path) -> None:
    base = need_sandboxes()
    command = Command(tmp_path, XDG_CACHE_HOME=str(base.parents[2]))
    file = workflow(tmp_path)
    command("validate", str(file))
    killed_at(command, "/redis: started", "run", str(file))
    assert "in doubt" in command("status", "latest").stdout
    command("resume", "latest")
    status = command.json("status", "latest")
    assert (status["status"], status["done"], status["total"]) == ("Completed", 4, 4)
    servers: list[dict[str, Any]] = status["servers"]
    assert sorted(server["name"] for server in servers) == sorted(SERVERS)
    assert [ping(server["address"]) for server in servers] == [b"+PONG\r\n"] * 2
    assert "redis" in command("logs", "latest", "one/redis").stdout
    command("check", "latest")

    killed_at(command, ": undo started", "rollback", "latest", "--yes")
    command("rollback", "latest", "--yes")
    assert command.json("status", "latest")["status"] == "RolledBack"
    state = command.home / ".local" / "state" / "batchwright"
    assert leftovers(state, [server["ref"] for server in servers]) == []
    for server in servers:
        with pytest.raises(OSError, match="refused"):
            ping(server["address"])
