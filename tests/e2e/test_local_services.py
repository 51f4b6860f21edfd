"""The whole way for real: servers on this machine, redis on them, a SIGKILL half-way, and nothing left at the end."""

from __future__ import annotations

import fcntl
import json
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import COMMAND, PATIENCE, Command
from tests.support.sandboxes import leftovers, need_sandboxes

from batchwright.providers.local import processes

SERVERS = ("one", "two")
LOCK = "var/lib/dpkg/lock-frontend"  # which whoever installs a package takes


def workflow(folder: Path) -> Path:
    """Two servers with a gate between them that waits for the test on both ways, and redis on both."""

    def server(name: str, *after: str) -> dict[str, Any]:
        configs = [{"name": name, "plan": "1xCPU-512MB", "zone": "here"}]
        return {"id": f"first-{name}", "type": "server_batch", "provider": "local", "dependencies": after,
                "server_configs": configs}  # fmt: skip

    def waiting(file: str) -> list[str]:
        return ["sh", "-c", f"until [ -e '{folder / file}' ]; do sleep 0.05; done"]

    gate = {"id": "gate", "type": "command", "idempotent": True, "dependencies": ["first-one"], "run": waiting("go"),
            "undo": waiting("back")}  # fmt: skip
    redis = {"id": "cache", "type": "taskserv_batch", "provider": "local", "taskservs": ["redis"],
             "dependencies": ["first-one", "first-two"]}  # fmt: skip
    file = folder / "two.json"
    inner = {"name": "two", "version": "1", "operations": [server("one"), gate, server("two", "gate"), redis]}
    file.write_text(json.dumps({"batch_workflow": inner}))
    return file


def ping(address: str) -> bytes:
    """What the redis there answers."""
    with socket.create_connection((address, 6379), timeout=PATIENCE) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(64)


def killed_at(command: Command, sign: str, *words: str, on: dict[str, Callable[[], None]] | None = None) -> None:
    """Start it, do what is to be done at other signs, and kill it when it says this one."""
    process = subprocess.Popen(
        [*COMMAND, *words], env=command.env, cwd=command.home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    with process.stdout:
        seen = []
        for line in process.stdout:
            seen.append(line)
            for other, act in (on or {}).items():
                if other in line:
                    act()
            if sign in line:
                break
        else:
            raise AssertionError("".join(seen))
        process.send_signal(signal.SIGKILL)
    assert process.wait(PATIENCE) == -signal.SIGKILL


def test_two_servers_with_redis_killed_half_way_resumed_and_rolled_back(tmp_path: Path) -> None:
    """Each kill hits a step that is held: an install that waits for a lock, an undo that waits for a file."""
    base = need_sandboxes()
    command = Command(tmp_path, XDG_CACHE_HOME=str(base.parents[2]))
    file = workflow(tmp_path)
    command("validate", str(file))
    with ExitStack() as held:

        def hold_installs() -> None:
            """Take the lock of packages on the server that is there, then let the run go on."""
            (one,) = command.json("status", "latest")["servers"]
            inside = Path("/proc", str(max(processes.started_for(one["ref"]))), "root", LOCK)
            fcntl.lockf(held.enter_context(inside.open("w")), fcntl.LOCK_EX | fcntl.LOCK_NB)
            (tmp_path / "go").touch()

        killed_at(command, "one/redis: started", "run", str(file), on={"gate/run: started": hold_installs})
    assert "in doubt" in command("status", "latest").stdout
    command("resume", "latest")
    status = command.json("status", "latest")
    assert (status["status"], status["done"], status["total"]) == ("Completed", 5, 5)
    servers: list[dict[str, Any]] = status["servers"]
    assert sorted(server["name"] for server in servers) == sorted(SERVERS)
    assert [ping(server["address"]) for server in servers] == [b"+PONG\r\n"] * 2
    assert "redis" in command("logs", "latest", "one/redis").stdout
    command("check", "latest")

    killed_at(command, "gate/run: undo started", "rollback", "latest", "--yes")
    assert [one["name"] for one in command.json("servers")["servers"]] == ["one"]
    (tmp_path / "back").touch()
    command("rollback", "latest", "--yes")
    assert command.json("status", "latest")["status"] == "RolledBack"
    state = command.home / ".local" / "state" / "batchwright"
    assert leftovers(state, [server["ref"] for server in servers]) == []
    for server in servers:
        with pytest.raises(OSError, match="refused"):
            ping(server["address"])
