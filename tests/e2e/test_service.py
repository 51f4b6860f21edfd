"""The installed command as a service: real processes, real signals, real HTTP."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import IO, Any

import pytest
from tests.support.command_line import Command, environment

from batchwright.providers.simulated import World

RUNS = "/v1/workflows/batch"
KILLS = (3, pytest.param(20, marks=pytest.mark.long))
SERVERS = 50  # per run, enough for all the kills
FLOWS = 3
LOOKS = 6_000  # at something that is bound to happen
SIM = {
    "answer_seconds": "0.1",
    "boot_seconds": "0.4",
    "read_seconds": "0.01",
    "lost_answers": "0.05",
    "late_commits": "0.05",
    "late_min": "0.1",
    "late_max": "0.4",
    "list_lag": "0.2",
    "transient": "0.05",
}


class Process:
    """`batchwright serve` on a port that the system chooses."""

    def __init__(self, state: Path, log: IO[bytes], *more: str) -> None:
        command = [sys.executable, "-m", "batchwright", "serve", "--port", "0", "--state-dir", str(state), *more]
        self.process = subprocess.Popen(command, env=environment(state), stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        found = re.search(r"https?://\S+", first)
        assert found, f"it did not start: {first}"
        self.url = found.group()

    def end(self, number: int) -> int:
        """Send the signal and wait."""
        self.process.send_signal(number)
        code = self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        method = "POST" if body is not None else "GET"
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json", **headers})
        request.method = method
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())


def flow(name: str, count: int = SERVERS) -> dict[str, Any]:
    retry = {"max_attempts": 15, "initial_delay": 0.1, "max_delay": 0.5}
    configs = [{"name": f"{name}-{i:02d}", "plan": "1xCPU-2GB", "zone": "de-fra1"} for i in range(count)]
    up = {"id": "up", "type": "server_batch", "provider": "upcloud", "server_configs": configs, "retry": retry}
    return {"batch_workflow": {"name": name, "version": "1", "parallel_limit": 6, "operations": [up]}}


def submit_path(**sim: str) -> str:
    return f"{RUNS}/submit?simulate=true" + "".join(f"&sim={k}={v}" for k, v in {**SIM, **sim}.items())


@pytest.mark.parametrize("wanted", KILLS)
def test_a_service_killed_many_times_completes_every_run_without_a_duplicate(wanted: int, tmp_path: Path) -> None:
    chance, state = random.Random(11), tmp_path / "state"
    kills, submitted = 0, FLOWS
    runs: dict[str, str] = {}
    statuses: list[str] = []
    with (tmp_path / "log").open("wb") as log:
        for _ in range(wanted * 10):
            service = Process(state, log)
            for i in range(submitted - FLOWS, submitted):  # the same key again and again: each is submitted once
                status, view = service.ask(submit_path(seed=str(i)), flow(f"flow{i}"), **{"Idempotency-Key": f"key{i}"})
                assert status == 202, view
                assert runs.setdefault(f"flow{i}", view["run"]) == view["run"]
            statuses = [service.ask(f"{RUNS}/{run}")[1]["status"] for run in list(runs.values())[-FLOWS:]]
            if kills >= wanted:
                for run in runs.values():
                    until(service, run, "Completed")
                assert service.end(signal.SIGTERM) == 0
                break
            time.sleep(chance.uniform(0.0, 0.5))  # lets it work for a moment; nothing depends on how long
            service.end(signal.SIGKILL)
            unfinished = any(status != "Completed" for status in statuses)
            kills += unfinished
            submitted += 0 if unfinished else FLOWS  # they were done before they were killed often enough: some more
    world = World(state / "simulated.db")
    names = Counter(server.name for server in world.servers())
    world.close()
    assert kills == wanted
    made = Counter(f"flow{i}-{n:02d}" for i in range(submitted) for n in range(SERVERS))
    assert names == made, statuses


def until(service: Process, run: str, wanted: str) -> None:
    for _ in range(LOOKS):
        view = service.ask(f"{RUNS}/{run}")[1]
        if view["status"] == wanted:
            return
        time.sleep(0.02)
    raise AssertionError(f"{run} is {view['status']}")


def test_sigterm_lets_calls_in_flight_end_and_leaves_the_rest_to_the_next_service(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        service = Process(tmp_path / "state", log, "--grace", "30")
        path = f"{RUNS}/submit?simulate=true&sim=answer_seconds=0.5&sim=boot_seconds=1&sim=spread=0"
        run = service.ask(path, flow("calm", 12))[1]["run"]
        for _ in range(LOOKS):
            if service.ask(f"{RUNS}/{run}")[1]["running"]:
                break
        assert service.end(signal.SIGTERM) == 0
        service = Process(tmp_path / "state", log)
        for _ in range(LOOKS):
            left = service.ask(f"{RUNS}/{run}/events?limit=1000")[1]["items"]
            drivers = [i for i, event in enumerate(left) if event["type"] == "driver_started"]
            if len(drivers) > 1:
                break
        stopped = drivers[1]
        started = [e["step"] for e in left[:stopped] if e["type"] == "step_started"]
        created = [e["step"] for e in left[:stopped] if e["type"] == "step_created"]
        assert started
        assert set(started) <= set(created)  # nothing was left in doubt
        until(service, run, "Completed")
        assert service.ask(f"{RUNS}/{run}")[1]["doubts"] == []
        assert service.end(signal.SIGINT) == 0


def test_tokens_are_made_listed_and_revoked_on_the_command_line(tmp_path: Path) -> None:
    state = str(tmp_path / "state")

    def token(*words: str) -> dict[str, Any]:
        found = Command(tmp_path).json("token", *words, "--state-dir", state)
        assert isinstance(found, dict)
        return found

    with (tmp_path / "log").open("wb") as log:
        made = token("create", "--role", "operator", "--name", "ci")
        service = Process(tmp_path / "state", log)
        try:
            allowed = {"Authorization": f"Bearer {made['token']}"}
            assert service.ask(RUNS)[0] == 401
            assert service.ask(RUNS, **allowed)[0] == 200
            assert [one["name"] for one in token("list")["tokens"]] == ["ci"]
            token("revoke", "ci")
            assert service.ask(RUNS, **allowed)[0] == 401
        finally:
            service.end(signal.SIGTERM)
    assert [
        json.loads(line)["what"].split()[:2] for line in (tmp_path / "state" / "audit.jsonl").read_text().splitlines()
    ] == [
        ["token", "create"],
        ["token", "revoke"],
    ]


def test_another_address_is_refused_without_a_token(tmp_path: Path) -> None:
    done = Command(tmp_path)("serve", "--host", "0.0.0.0", "--port", "0", code=2)
    assert "address-refused" in done.stderr
    assert "TLS" in done.stderr


def test_without_its_packages_the_service_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['litestar'] = None; from batchwright.__main__ import main; main()"
    command = [sys.executable, "-c", code, "serve", "--port", "0", "--state-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "service-package-missing" in done.stderr
    assert "batchwright[service]" in done.stderr
