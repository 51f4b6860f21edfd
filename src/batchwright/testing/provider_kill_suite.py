"""The crash test of a provider over an emulated cloud, for adapter authors to inherit.

The installed command is killed by SIGKILL at random, over the emulator in a process of its own which no kill reaches.
At the end of the run, and of its rollback, the cloud holds exactly what it should:

    class TestMyCloud(CrashSuite):
        def test_killed(self, tmp_path) -> None:
            print(self.killed(tmp_path, seed=0, servers=40, forward=6, back=3, least=9))
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RETRY = {"max_attempts": 15, "initial_delay": 0.1, "max_delay": 0.5}
LIVES_MAX = 120
ROUNDS_MAX = 5  # of a run and its rollback, until there were enough kills
LIFE = 0.5  # seconds a process lives at most after its first event
PATIENCE = 300  # seconds for a command that is not killed
EVENT = re.compile(r" +\d")  # a line that begins with a time reports an event
URL = re.compile(r"https?://[^\s,]+")


class Terminal:
    """Runs commands on one state folder, and kills them. `environ` is added to the environment."""

    def __init__(self, folder: Path, seed: int, workflow: object, environ: Mapping[str, str] = {}) -> None:
        self.state = folder / "state"
        self.file = folder / "workflow.json"
        self.file.write_text(json.dumps(workflow))
        own = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config")}
        self.environ = {**os.environ, **own, **environ}
        self.chance = random.Random(seed)
        self.kills = 0

    def command(self, *words: str) -> list[str]:
        """The argument list of a command."""
        return [sys.executable, "-m", "batchwright", *words, "--state-dir", str(self.state)]

    def let(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(  # noqa: S603 - our own command
            self.command(*words), env=self.environ, capture_output=True, text=True, timeout=PATIENCE, check=False
        )

    def ask(self, *words: str) -> dict[str, Any]:
        """The JSON answer of a read-only command."""
        done = self.let(*words, "--json")
        assert done.stdout, done.stderr
        answer = json.loads(done.stdout)
        assert isinstance(answer, dict)
        return answer

    def kill_soon(self, *words: str) -> bool:
        """Start a command, wait for its first event, and kill it a moment later. False if it ended by itself."""
        process = subprocess.Popen(  # noqa: S603
            self.command(*words), env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        with _bounded(process):
            for line in process.stdout:
                if EVENT.match(line):
                    break
        try:
            process.wait(self.chance.uniform(0.0, LIFE))
            killed = False
        except subprocess.TimeoutExpired:
            process.kill()
            killed = True
        self.kills += killed
        process.stdout.close()
        process.wait(60)
        return killed

    def rounds(self, kills: int) -> Iterator[int]:
        """Repeat a run and its rollback until there were this many kills, however slow the killer is."""
        for number in range(ROUNDS_MAX):
            yield number
            if self.kills >= kills:
                return
        raise AssertionError(f"only {self.kills} kills in {ROUNDS_MAX} rounds")

    def until(
        self, wanted: str, first: Sequence[str], again: Sequence[str], kills: int, over: Collection[str] = ()
    ) -> None:
        """Start, kill and resume until there were this many kills in all; then let it end. `over`: other runs."""
        words, status, said = first, "not begun", ""
        over = {*over, *(row["run"] for row in self.ask("list")["runs"] if row["status"] == "RolledBack")}
        for _ in range(LIVES_MAX):
            if self.kills >= kills:
                said = self.let(*words).stderr
            elif self.kill_soon(*words):
                words = again  # an event was printed, so there is a run to resume
                continue
            for row in (one for one in self.ask("list")["runs"] if one["run"] not in over):
                words, status = again, row["status"]
                if status == wanted:
                    return
        raise AssertionError(f"still {status} after {LIVES_MAX} lives: {said}")


@contextmanager
def _bounded(process: subprocess.Popen[str]) -> Iterator[None]:
    """Kill a silent process when time is up, so that reading its output ends."""
    patience = threading.Timer(PATIENCE, process.kill)
    patience.start()
    try:
        yield
    finally:
        patience.cancel()


@contextmanager
def emulator(command: Sequence[str]) -> Iterator[str]:
    """Run an emulator while the context lasts, and end it with SIGTERM. Yields the address from its first line."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        try:
            with _bounded(process):
                first = process.stdout.readline()
            found = URL.search(first)
            assert found, f"the emulator printed no address: {first!r}"
            yield found[0]
        finally:
            process.send_signal(signal.SIGTERM)
            with _bounded(process):
                process.communicate()


def look(url: str) -> dict[str, Any]:
    """What the cloud holds, from the emulator's own summary page."""
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - an address of the loopback interface
        found = json.load(answer)
    assert isinstance(found, dict)
    return found


class CrashSuite(ABC):
    """The crash test of one cloud. A subclass defines its faults, its address and what it must hold."""

    cloud: str
    prefix: str  # of the names of runs
    faults: tuple[str, ...]
    scale = 1.0
    config: str
    plan: str
    zone: str
    kinds: tuple[str, ...]  # kinds of resources
    other_plan = ""  # that its servers can get in place

    @abstractmethod
    def environ(self, url: str, folder: Path) -> dict[str, str]:
        """The environment of a client that uses this cloud and no other."""

    @abstractmethod
    def check(self, made: dict[str, Any], names: Counter[str]) -> None:
        """Check that each server exists once with all its parts, and nothing else exists."""

    def running(self, made: dict[str, Any]) -> dict[str, tuple[str, str]]:
        """The plan, and the value of the label `tier`, of each server that runs. Needed where `other_plan` is told."""
        raise NotImplementedError

    def emulated(self, seed: int) -> list[str]:
        """The command that serves the cloud."""
        faults = [word for fault in self.faults for word in ("--fault", fault)]
        words = ("--port", "0", "--seed", str(seed), "--time-scale", str(self.scale))
        return [sys.executable, "-m", "batchwright", "emulate", self.cloud, *words, *faults]

    def batches(self, name: str, servers: int) -> dict[str, list[dict[str, str]]]:
        """The operations of the workflow, with their servers."""
        return {"web": [{"name": f"{name}-{i:03d}", "plan": self.plan, "zone": self.zone} for i in range(servers)]}

    def held(self, url: str) -> dict[str, Any]:
        """What will exist once everything in progress has finished."""
        return look(f"{url}/_emulator")

    def happened(self, left: dict[str, Any]) -> dict[str, int]:
        """The faults that happened, counted."""
        return {key: n for key, n in left["happened"].items() if "/" not in key}

    def killed(self, folder: Path, seed: int, servers: int, forward: int, back: int, least: int) -> str:
        """Run the whole test, with at least this many kills. Returns a summary line."""
        batches = self.batches(f"{self.prefix}{seed}", servers)
        with self._rented(folder, seed, batches) as (url, terminal):
            on_the_way = 0
            for _ in terminal.rounds(least):
                before = terminal.kills
                terminal.until("Completed", ("run", str(terminal.file)), ("resume", "latest"), before + forward)
                on_the_way += terminal.kills - before
                self.check(self.held(url), names_of(batches))
                undo = ("rollback", "latest", "--yes")
                terminal.until("RolledBack", undo, undo, before + forward + back)
                left = self.held(url)
                assert {kind: left[kind] for kind in self.kinds} == {kind: [] for kind in self.kinds}
            assert terminal.ask("store", "check")["ok"]
        times = f"killed {on_the_way} times during the run, {terminal.kills - on_the_way} during the rollback"
        return f"{self.cloud}, seed {seed}: {servers} servers, {times}; {self.happened(left)}"

    def changed(self, folder: Path, seed: int, servers: int, forward: int, back: int) -> str:
        """All servers get another plan and other labels, with this many kills; then that is rolled back, killed too.

        Each server is the one that it was before, runs, and has all of its values or, after the rollback, all of the
        former ones. Returns a summary line.
        """
        batches = self.batches(f"{self.prefix}{seed}", servers)
        with self._rented(folder, seed, batches) as (url, terminal):
            made = terminal.let("run", str(terminal.file))
            assert not made.returncode, made.stderr
            first, names = {row["run"] for row in terminal.ask("list")["runs"]}, names_of(batches)
            other = {"plan": self.other_plan, "labels": {"tier": "db"}}
            wanted = {key: [{**config, **other} for config in configs] for key, configs in batches.items()}
            terminal.file.write_text(json.dumps(self._workflow(seed, wanted)))
            words = ("run", str(terminal.file), "--replace", "all")
            terminal.until("Completed", words, ("resume", "latest"), forward, first)
            on_the_way, left = terminal.kills, self.held(url)
            self.check(left, names)
            assert self.running(left) == dict.fromkeys(names, (self.other_plan, "db"))
            undo = ("rollback", "latest", "--yes")
            terminal.until("RolledBack", undo, undo, on_the_way + back, first)
            left = self.held(url)
            self.check(left, names)
            assert self.running(left) == dict.fromkeys(names, (self.plan, ""))
            assert terminal.ask("store", "check")["ok"]
        times = f"killed {on_the_way} times during the change, {terminal.kills - on_the_way} during its rollback"
        return f"{self.cloud}, seed {seed}: {servers} servers changed, {times}; {self.happened(left)}"

    def _workflow(self, seed: int, batches: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
        common = {"type": "server_batch", "provider": self.cloud, "retry": RETRY}
        operations = [{"id": key, "server_configs": configs, **common} for key, configs in batches.items()]
        asked = {"name": f"{self.prefix}{seed}", "version": "1", "parallel_limit": 16, "operations": operations}
        return {"batch_workflow": asked}

    @contextmanager
    def _rented(
        self, folder: Path, seed: int, batches: Mapping[str, Sequence[Mapping[str, Any]]]
    ) -> Iterator[tuple[str, Terminal]]:
        """The served cloud, and a terminal with the workflow of these servers."""
        (folder / "config" / "batchwright").mkdir(parents=True)
        (folder / "config" / "batchwright" / "config.toml").write_text(self.config)
        with emulator(self.emulated(seed)) as url:
            yield url, Terminal(folder, seed, self._workflow(seed, batches), self.environ(url, folder))


def names_of(batches: Mapping[str, Sequence[Mapping[str, Any]]]) -> Counter[str]:
    """The names of all servers, counted."""
    return Counter(one["name"] for configs in batches.values() for one in configs)
