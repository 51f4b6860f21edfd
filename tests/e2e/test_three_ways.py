"""The example, submitted and watched by curl, by the command and by nu, while the service is killed again and again."""

from __future__ import annotations

import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.command_line import COMMAND, PATIENCE, Command
from tests.support.nushell import ROOT, Nu
from tests.support.service_in_loop import RUNS
from tests.support.service_process import service_process

from batchwright.providers.simulated import World
from batchwright.providers.simulated.world_file import WorldFile
from batchwright.providers.simulated.world_records import Change, Installed

KILLS = (2, pytest.param(20, marks=pytest.mark.long))
LIFE = 0.8  # seconds at most until a kill
LOOKS = 6_000  # at something that is bound to happen
SIM = {"time_scale": 2, "answer_seconds": 0.4, "boot_seconds": 2.5, "install_seconds": 0.3}
TASKSERVS = ("kubernetes", "cilium", "containerd")
STORES = {"curl": "surrealdb", "command": "filesystem", "nu": "filesystem"}  # of each way
FETCH = """import sys, urllib.request as u
url, file, *headers = sys.argv[1:]
for line in u.urlopen(u.Request(url, open(file, "rb").read() if file else None, dict(h.split(": ") for h in headers))):
    print(line.decode(), end="", flush=True)
"""


def fetching(url: str, *headers: str, body: Path | None = None) -> list[str]:
    """The command that asks by curl, or by Python where there is none."""
    if (curl := shutil.which("curl")) is None:
        return [sys.executable, "-c", FETCH, url, str(body or ""), *headers]
    sent = [] if body is None else ["--data-binary", f"@{body}"]
    return [curl, "-q", "-sSNf", "--noproxy", "*", *sent, *(word for one in headers for word in ("-H", one)), url]


def asked(url: str, *headers: str, body: Path | None = None) -> Any:
    """The document that it answers."""
    command = fetching(url, *headers, body=body)
    return msgspec.json.decode(subprocess.run(command, stdout=subprocess.PIPE, timeout=PATIENCE, check=True).stdout)


@contextmanager
def in_background(command: list[str], out: Path, **how: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes into a file; ended with the test."""
    with out.open("wb") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, **how)
        try:
            yield process
        finally:
            process.kill()
            process.wait(PATIENCE)


class Stream:
    """Follows a run's server-sent events by curl, once per life of the service, from where the last one broke."""

    def __init__(self, out: Path, run: str) -> None:
        self.out, self.run = out, run
        self.messages: list[tuple[str, int, Any]] = []

    def connected(self, url: str) -> list[str]:
        """The command that goes on after the last message that came whole."""
        last = (f"Last-Event-ID: {seq}" for _, seq, _ in self.messages[-1:])
        return fetching(f"{url}{RUNS}/{self.run}/progress", "Accept: text/event-stream", *last)

    def take(self) -> None:
        """Take what came in this life; a message that was cut off is left to the next."""
        *whole, _ = self.out.read_text().split("\n\n")
        for text in whole:
            lines = text.strip("\n").split("\n")
            fields = dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
            if "id" in fields or fields.get("event") == "end":
                seq = int(fields["id"]) if "id" in fields else self.messages[-1][1]
                self.messages.append((fields["event"], seq, msgspec.json.decode(fields["data"])))

    def is_over(self) -> bool:
        return bool(self.messages) and self.messages[-1][0] == "end"

    def check(self) -> None:
        """A snapshot, then every event once and in order, then the end."""
        kinds = [kind for kind, _, _ in self.messages]
        assert (kinds[0], kinds.count("snapshot"), kinds[-1]) == ("snapshot", 1, "end")
        assert self.messages[-1][2]["status"] == "Completed"
        seqs = [seq for kind, seq, _ in self.messages if kind == "event"]
        assert seqs == list(range(self.messages[0][1] + 1, self.messages[-1][1] + 1))


class ThreeRuns:
    """Three runs of the example, one for each way, and who watches them."""

    def __init__(self, home: Path, url: str, number: int, stack: ExitStack) -> None:
        self.home, self.url, self.stack = home, url, stack
        self.names = {way: f"{way}-{number}" for way in STORES}
        self.files, self.runs = {way: self.copied(way) for way in STORES}, dict[str, str]()
        nu, command = Nu(home, url), Command(home, BATCHWRIGHT_URL=url)
        sim = [word for key, value in SIM.items() for word in ("--sim", f"{key}={value}")]
        run = self.runs["command"] = command.json("submit", str(self.files["command"]), *sim)["run"]
        self.monitors = {"command": self.watched("command", [*COMMAND, "monitor", run], env=command.env, cwd=home)}
        record = msgspec.json.encode(SIM).decode()
        run = self.runs["nu"] = nu.value(f"batch submit {self.files['nu']} --sim {record}")["id"]
        self.monitors["nu"] = self.watched("nu", nu.line(f"batch monitor {run} | get status"), env=nu.env, cwd=ROOT)
        query = "".join(f"&sim={key}={value}" for key, value in SIM.items())
        where, kind = f"{url}{RUNS}/submit?simulate=true{query}", "Content-Type: text/x-nickel"
        run = self.runs["curl"] = asked(where, kind, body=self.files["curl"])["run"]
        self.stream = Stream(home / f"{self.names['curl']}.log", run)

    def copied(self, way: str) -> Path:
        """The example under names of its own, so that no run keeps a server of another."""
        name, text = self.names[way], (ROOT / "workflows" / "example_batch.ncl").read_text()
        for old, new in {"multi_cloud_deployment": name, "web": name, "surrealdb": STORES[way]}.items():
            assert f'"{old}' in text
            text = text.replace(f'"{old}', f'"{new}')
        file = self.home / f"{name}.ncl"
        file.write_text(text)
        return file

    def watched(self, way: str, command: list[str], **how: Any) -> subprocess.Popen[bytes]:
        """A monitor that has said something already."""
        out = self.home / f"{self.names[way]}.log"
        process = self.stack.enter_context(in_background(command, out, **how))
        for _ in range(LOOKS):
            if out.stat().st_size:
                return process
            time.sleep(0.02)
        raise AssertionError(f"{command} says nothing")

    def over(self) -> bool:
        return all(asked(f"{self.url}{RUNS}/{run}")["status"] == "Completed" for run in self.runs.values())

    def check(self) -> None:
        """All monitors came to the end, told each thing once; each run is as if nobody had been killed."""
        self.stream.check()
        for way, process in self.monitors.items():
            code, told = process.wait(PATIENCE), (self.home / f"{self.names[way]}.log").read_text()
            assert code == 0, told
            assert told.count("run Completed\n") == 1, told
            done = re.findall(r"aws_taskservs/\S+: succeeded", told)
            assert Counter(done) == Counter(set(done)), told
        for way, run in self.runs.items():
            view = asked(f"{self.url}{RUNS}/{run}")
            assert (view["status"], view["done"], view["store"]) == ("Completed", 8, STORES[way])


def installs(state: Path) -> Counter[tuple[str, str]]:
    """How often each task service was put on each server, by what the simulated world has on record."""
    changes = list[Change]()
    file = WorldFile(state / "simulated.db", changes.append, changes.clear)
    file.catch_up()
    file.close()
    return Counter((one.ref, one.taskserv) for one in changes if isinstance(one, Installed))


def lived(home: Path, port: str, chance: random.Random, left: int, rounds: list[ThreeRuns], stack: ExitStack) -> int:
    """One life of the service; gives how many kills are left."""
    with service_process(home, "--port", port) as (url, process):
        if not rounds or (left and rounds[-1].over() and rounds[-1].stream.is_over()):
            rounds.append(ThreeRuns(home, url, len(rounds), stack))
        now = rounds[-1]
        with in_background(now.stream.connected(url), now.stream.out) as curl:
            if left:
                time.sleep(chance.uniform(0.0, LIFE))  # nothing depends on how long
                left -= not now.over()
                process.send_signal(signal.SIGKILL)
                process.wait(PATIENCE)
            curl.wait(PATIENCE)  # by itself: at the end of the run, or of the service
        now.stream.take()
        if process.poll() is None:
            for one in rounds:
                one.check()
    return left


@pytest.mark.parametrize("kills", KILLS)
def test_three_ways_to_run_the_example_survive_many_kills(kills: int, tmp_path: Path) -> None:
    chance, rounds, left = random.Random(7), list[ThreeRuns](), kills
    Nu(tmp_path, "")  # nothing is begun where there is none
    with service_process(tmp_path) as (url, _):
        port = url.rpartition(":")[2]
    with ExitStack() as stack:
        for _ in range(kills * 5):
            before, left = left, lived(tmp_path, port, chance, left, rounds, stack)
            if before == 0:
                break
    assert (before, left) == (0, 0)
    world = World(tmp_path / "state" / "simulated.db")
    servers, duplicates = world.servers(), world.duplicates()
    world.close()
    names = [f"{name}-0{i}" for one in rounds for name in one.names.values() for i in (1, 2)]
    assert (Counter(server.name for server in servers), duplicates) == (Counter(names), {})
    assert installs(tmp_path / "state") == Counter((server.ref, name) for server in servers for name in TASKSERVS)
