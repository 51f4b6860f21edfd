"""Services and workers as processes of their own, on one PostgreSQL store, one Temporal and one simulated world."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

from batchwright.app.backing_services import TemporalConfig
from batchwright.journal.postgres import PostgresAddress
from batchwright.providers.simulated import World
from tests.support.command_line import COMMAND, PATIENCE, environment

RUNS = "/v1/workflows/batch"
SIM = {"answer_seconds": "0.05", "boot_seconds": "0.5", "read_seconds": "0.01", "destroy_seconds": "0.1"}
LOOKS = 6_000  # at something that is bound to happen


def flow(name: str, count: int, **more: Any) -> dict[str, Any]:
    """A workflow of some servers."""
    configs = [{"name": f"{name}-{i:02d}", "plan": "1xCPU-2GB", "zone": "de-fra1"} for i in range(count)]
    retry = {"max_attempts": 15, "initial_delay": 0.1, "max_delay": 0.5}
    up = {"id": "up", "type": "server_batch", "provider": "upcloud", "server_configs": configs, "retry": retry}
    about = {"name": name, "version": "1", "storage_backend": "postgres", "parallel_limit": 3}
    return {"batch_workflow": {**about, "operations": [up], **more}}


def ask(url: str, path: str, body: Any = None, **headers: str) -> Any:
    """What a service answers; an error of it is an AssertionError."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())
    except HTTPError as error:
        with error:
            raise AssertionError(error.read()) from None


def events(url: str, run: str, after: int) -> Iterator[int]:
    """The numbers of a run's events as a service streams them, until it ends or breaks."""
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
    request = urllib.request.Request(f"{url}{RUNS}/{run}/progress", headers=headers)
    fields: dict[str, str] = {}
    try:
        with urllib.request.urlopen(request, timeout=60) as stream:
            for line in stream:
                name, _, value = line.decode().strip().partition(": ")
                fields = fields | {name: value} if name else {}
                if fields.get("event") == "end":
                    return
                if name and fields.get("event") == "event" and {"id", "data"} <= fields.keys():
                    yield int(fields["id"])
    except (OSError, URLError, ValueError):
        return


def until(url: str, run: str, *wanted: str) -> dict[str, Any]:
    """The run when it is in one of these states."""
    for _ in range(LOOKS):
        view: dict[str, Any] = ask(url, f"{RUNS}/{run}")
        if view["status"] in wanted:
            return view
        time.sleep(0.02)  # between two looks
    raise AssertionError(f"{run} never was {wanted}: {view['status']}")


class Fleet:
    """Processes with a state folder each. `begin_service` and `begin_worker` may be called again after a kill.

    `config` is what stands in the config.toml of those who have none of their own.
    """

    config = ""

    def __init__(self, folder: Path, postgres: PostgresAddress, temporal: TemporalConfig | None, stack: ExitStack):
        self.folder = folder
        self.world_file = folder / "world.db"
        self.urls: dict[str, str] = {}
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self._environ = {"BATCHWRIGHT_POSTGRES_URL": postgres.url}
        if temporal is not None:
            self._environ |= {
                "BATCHWRIGHT_ENGINE": "temporal",
                "BATCHWRIGHT_TEMPORAL_ADDRESS": temporal.address,
                "BATCHWRIGHT_TEMPORAL_QUEUE": temporal.queue,
            }
        stack.callback(self.stop)

    def _begin(self, name: str, *words: str, **more: str) -> str:
        if name in self.processes:  # it has not come up
            self.kill(name)
        home = self.folder / name
        (home / "state").mkdir(parents=True, exist_ok=True)
        file = home / ".config" / "batchwright" / "config.toml"
        if not file.exists():
            file.parent.mkdir(parents=True)
            file.write_text(self.config)
        world = home / "state" / "simulated.db"
        if not world.is_symlink():
            world.symlink_to(self.world_file)
        with (home / "log").open("a") as log:
            process = subprocess.Popen(
                [*COMMAND, *words, "--state-dir", str(home / "state")],
                env=environment(home, **self._environ, **more),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        self.processes[name] = process
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, self.log(name)
        return line

    def log(self, name: str) -> str:
        """What a process has written about itself."""
        return (self.folder / name / "log").read_text()

    def driver_of(self, run: str) -> str:
        """The worker that drives a run."""
        for _ in range(LOOKS):
            for name in self.processes.keys() - self.urls.keys():
                said = [line for line in self.log(name).splitlines() if f"run {run} " in line]
                if said and said[-1].endswith("is driven here"):
                    return name
            time.sleep(0.02)  # between two looks
        raise AssertionError(f"no worker drives {run}")

    def begin_service(self, name: str, **more: str) -> str:
        """Its address; `more` is added to its environment."""
        found = re.search(r"http://\S+", self._begin(name, "serve", "--port", "0", "--grace", "0", **more))
        assert found is not None, self.log(name)
        self.urls[name] = found.group()
        return self.urls[name]

    def begin_worker(self, name: str, *options: str, **more: str) -> None:
        """It takes runs when this returns."""
        self._begin(name, "worker", *options, **more)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """End a process, and wait for its end."""
        process = self.processes.pop(name)
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)

    def stop(self) -> None:
        """Kill all processes."""
        for name in list(self.processes):
            self.kill(name)

    def servers(self) -> Counter[str]:
        """The names of the servers in the simulated world."""
        world = World(self.world_file)
        names = Counter(server.name for server in world.servers())
        world.close()
        return names
