"""The world: what it keeps, alone and in a file that several processes use."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from batchwright.errors import ProviderUnavailable
from batchwright.model.ids import Token
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.simulated import Simulated, SimulatedServer, Simulation, World
from batchwright.testing.virtual_clock import EPOCH, VirtualClock, run_virtual


def server(ref: str, token: str = "t", run: str = "run1") -> SimulatedServer:
    request = ServerRequest("web", "1xCPU-2GB", "de-fra1", labels={"team": "a"})
    return SimulatedServer(ref, "upcloud", "simulated-upcloud", run, token, request, "198.18.0.1", EPOCH, EPOCH, None)


def fill(world: World) -> None:
    with world.turn:
        for n in range(4):
            world.add(server(f"s{n}", token=f"t{n % 3}"))
        world.destroy("s1", EPOCH + 1, EPOCH + 2)
        world.install("s0", "redis", "7.2")
        world.install("s0", "kubernetes", "1.31")
        world.install("s1", "redis", "7.2")
        world.remove("s0", "redis")
        assert [world.attempt("create/web"), world.attempt("create/web")] == [1, 2]


def check(world: World) -> None:
    assert [s.ref for s in world.servers()] == ["s0", "s2", "s3"]
    assert [s.ref for s in world.servers(EPOCH + 1.5)] == ["s0", "s1", "s2", "s3"]
    assert [s.ref for s in world.servers(EPOCH - 1)] == []
    assert world.installed() == {"s0": {"kubernetes": "1.31"}}
    assert world.duplicates() == {"t0": 2}
    with world.turn:
        assert world.attempt("create/web") == 3
    assert world.server("s2") == server("s2", "t2")


def test_it_keeps_what_happened() -> None:
    world = World()
    fill(world)
    check(world)


def test_a_file_keeps_it_for_the_next_process(tmp_path: Path) -> None:
    world = World(tmp_path / "new" / "folder" / "world.db")
    fill(world)
    world.close()
    world.close()
    again = World(tmp_path / "new" / "folder" / "world.db")
    check(again)
    again.close()


def test_two_that_share_a_file_see_each_others_changes(tmp_path: Path) -> None:
    one, two = World(tmp_path / "world.db"), World(tmp_path / "world.db")
    fill(one)
    check(two)
    with two.turn:
        assert two.next_serial() == 5
        two.add(server("s4"))
    with one.turn:
        assert one.next_serial() == 6
    assert one.server("s4") == two.server("s4")
    one.close()
    two.close()


def half_a_turn(world: World) -> None:
    with world.turn:
        world.add(server("s1"))
        _ = 1 / 0


def test_a_turn_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    world = World(tmp_path / "world.db")
    with world.turn:
        world.add(server("s0"))
    with pytest.raises(ZeroDivisionError):
        half_a_turn(world)
    assert [s.ref for s in world.servers()] == ["s0"]
    with world.turn:
        world.add(server("s1"))
    assert [s.ref for s in world.servers()] == ["s0", "s1"]
    world.close()


def test_a_file_that_is_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    text, other = tmp_path / "notes.txt", tmp_path / "journal.db"
    text.write_text("not a database at all, only some words " * 50)
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE runs (id)")
    db.close()
    for path in (text, other):
        before = path.read_bytes()
        with pytest.raises(ProviderUnavailable, match="cannot be used") as raised:
            World(path)
        assert raised.value.hint
        assert path.read_bytes() == before


def test_a_damaged_change_is_reported_not_skipped(tmp_path: Path) -> None:
    world = World(tmp_path / "world.db")
    with world.turn:
        world.add(server("s0"))
    world.close()
    db = sqlite3.connect(tmp_path / "world.db")
    db.execute('INSERT INTO changes VALUES (2, \'{"type":"moon"}\')')
    db.commit()
    db.close()
    with pytest.raises(ProviderUnavailable, match="cannot be used"):
        World(tmp_path / "world.db")


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProviderUnavailable, match="cannot be used"):
        World(tmp_path / "file" / "world.db")


def test_what_was_planted_is_seen_but_is_nobodys() -> None:
    async def scenario() -> None:
        world = World()
        world.plant(server("s0", token="", run=""))
        provider = Simulated("upcloud", world, VirtualClock(), Simulation.instant())
        assert await provider.find() == []
        seen = (await provider.describe(["s0"]))["s0"]
        assert (seen.name, seen.run, seen.token) == ("web", "", "")

    run_virtual(scenario())


def test_calls_are_logged_when_asked_for() -> None:
    async def scenario() -> None:
        world = World()
        provider = Simulated("upcloud", world, VirtualClock(), Simulation.instant())
        await provider.find("run1")
        calls = world.record_calls()
        await provider.create(ServerRequest("web", "1xCPU-2GB", "de-fra1"), Token("run1", "t"))
        await provider.find("run1", "t")
        await provider.destroy("upcloud-000001")
        assert [(call.method, call.about) for call in calls] == [
            ("create", "web"),
            ("find", "t"),
            ("destroy", "upcloud-000001"),
        ]

    run_virtual(scenario())


def test_addresses_and_references_are_unique() -> None:
    async def scenario() -> None:
        world = World()
        provider = Simulated("simulated", world, VirtualClock(), Simulation.instant())
        for n in range(700):
            await provider.create(ServerRequest(f"w{n}", "small", "zone-a"), Token("run1", f"t{n}"))
        assert len({s.address for s in world.servers()}) == len({s.ref for s in world.servers()}) == 700

    run_virtual(scenario())


CLIENT = """
import asyncio, sys
from pathlib import Path
from batchwright.app.system_clock import SystemClock
from batchwright.model.ids import Token
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.simulated import Simulated, Simulation, World

async def main():
    provider = Simulated("upcloud", World(Path(sys.argv[1])), SystemClock(), Simulation.instant(guard="token"))
    for n in range(int(sys.argv[3])):
        request = ServerRequest(f"{sys.argv[2]}-{n}", "1xCPU-2GB", "de-fra1")
        answer = await provider.create(request, Token("run1", request.name))
        print(f'"{answer.ref}"', flush=True)

asyncio.run(main())
"""


def start(path: Path, name: str, servers: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CLIENT, str(path), name, str(servers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_at_the_same_time_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    processes = [start(tmp_path / "world.db", name, 40) for name in ("a", "a", "b")]
    refs = []
    for process in processes:
        refs.append([json.loads(line) for line in process.communicate(timeout=60)[0].splitlines()])
        assert process.returncode == 0
    world = World(tmp_path / "world.db")
    assert len(world.servers()) == 80
    assert refs[0] == refs[1], "the same tokens are the same servers, whoever asks"
    assert {s.ref for s in world.servers()} == {*refs[0], *refs[2]}
    world.close()


def test_a_killed_process_leaves_all_that_was_answered(tmp_path: Path) -> None:
    process = start(tmp_path / "world.db", "a", 1_000_000)
    assert process.stdout is not None
    answered = [json.loads(process.stdout.readline()) for _ in range(50)]
    os.kill(process.pid, signal.SIGKILL)
    answered += [json.loads(line) for line in process.stdout.read().splitlines() if line.endswith('"')]
    process.wait(timeout=60)
    process.stdout.close()
    world = World(tmp_path / "world.db")
    left = [s.ref for s in world.servers()]
    assert left[: len(answered)] == answered
    assert len(left) - len(answered) <= 1, "at most the one whose answer was cut off"
    with world.turn:
        world.add(server(f"s{world.next_serial()}"))
    world.close()
