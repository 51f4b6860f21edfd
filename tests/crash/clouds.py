"""Real SIGKILL on the adapter of an emulated cloud: the installed command is killed at random over the emulator, a real
process that no kill reaches. At the end of the run and of its rollback the cloud holds exactly what it should."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.crash.test_sigkill import Terminal

RETRY = {"max_attempts": 15, "initial_delay": 0.1, "max_delay": 0.5}


@contextmanager
def emulator(cloud: str, seed: int, faults: Sequence[str], time_scale: float) -> Iterator[str]:
    """Serves while the `with` lasts; gives its address."""
    words = [word for fault in faults for word in ("--fault", fault)]
    command = [sys.executable, "-m", "batchwright", "emulate", cloud, "--port", "0", "--seed", str(seed), *words]
    with subprocess.Popen([*command, "--time-scale", str(time_scale)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            yield first.split()[4].rstrip(",")
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)


def look(url: str) -> dict[str, Any]:
    """What the cloud holds, as its own page for people and tests tells."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        found = json.load(answer)
    assert isinstance(found, dict)
    return found


class Story(ABC):
    """One run. A cloud's own says what goes wrong there, how it is reached, and what it must hold."""

    cloud: str
    prefix: str  # of the names of runs
    faults: tuple[str, ...]
    scale = 1.0
    config: str
    plan: str
    zone: str
    kinds: tuple[str, ...]  # of what it holds

    @abstractmethod
    def environ(self, url: str, folder: Path) -> dict[str, str]:
        """Of a client that asks this cloud and no other."""

    @abstractmethod
    def check(self, made: dict[str, Any], names: Counter[str]) -> None:
        """Each of these servers is there once with all that belongs to it, and nothing else is."""

    def batches(self, name: str, servers: int) -> dict[str, list[dict[str, str]]]:
        """The operations of the workflow, with their servers."""
        return {"web": [{"name": f"{name}-{i:03d}", "plan": self.plan, "zone": self.zone} for i in range(servers)]}

    def held(self, url: str) -> dict[str, Any]:
        """What there will be once all that is under way has happened."""
        return look(f"{url}/_emulator")

    def happened(self, left: dict[str, Any]) -> dict[str, int]:
        """What went wrong on the way, counted."""
        return {key: n for key, n in left["happened"].items() if "/" not in key}

    @pytest.fixture(autouse=True)
    def _terminal(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = tmp_path, capsys

    def killed(self, seed: int, servers: int, forward: int, back: int, least: int) -> None:
        """The whole of it, with at least so many kills."""
        batches, terminal = self.batches(f"{self.prefix}{seed}", servers), Terminal(self.folder, seed, "filesystem")
        common = {"type": "server_batch", "provider": self.cloud, "retry": RETRY}
        operations = [{"id": key, "server_configs": configs, **common} for key, configs in batches.items()]
        asked = {"name": f"{self.prefix}{seed}", "version": "1", "parallel_limit": 16, "operations": operations}
        terminal.file.write_text(json.dumps({"batch_workflow": asked}))
        (self.folder / "config" / "batchwright").mkdir(parents=True)
        (self.folder / "config" / "batchwright" / "config.toml").write_text(self.config)
        with emulator(self.cloud, seed, self.faults, self.scale) as url:
            terminal.environ |= self.environ(url, self.folder)
            terminal.until("Completed", ("run", str(terminal.file)), ("resume", "latest"), forward)
            on_the_way = terminal.kills
            self.check(self.held(url), Counter(one["name"] for configs in batches.values() for one in configs))
            undo = ("rollback", "latest", "--yes")
            terminal.until("RolledBack", undo, undo, forward + back)
            left = self.held(url)
            assert {kind: left[kind] for kind in self.kinds} == {kind: [] for kind in self.kinds}
            assert terminal.ask("store", "check")["ok"]
        assert terminal.kills >= least
        times = f"killed {on_the_way} times on the way, {terminal.kills - on_the_way} back"
        with self.capsys.disabled():
            print(f"\n{self.cloud}, seed {seed}: {servers} servers, {times}; {self.happened(left)}")
