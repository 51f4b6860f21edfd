"""The stores as a user has them: three at once, runs that move between them, and one that is not available."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.surreal_bridge import AFTER, BEFORE, PASSWORD, USER, Bridge
from tests.support import service_in_loop as services
from tests.support.command_line import COMMAND, environment, run_in_process

from batchwright.app.backing_services import SurrealConfig
from batchwright.app.settings import Settings
from batchwright.journal.postgres import PostgresAddress
from batchwright.model.secret_reference import SecretReference

SIM = ("answer_seconds=0.001", "boot_seconds=0.001", "destroy_seconds=0.001", "read_seconds=0.001", "spread=0")
OK, NO, COULD_NOT = 0, 1, 2
FILESYSTEM, FOLDER, SERVER, POSTGRES = "filesystem", "surrealdb", "surrealdb-server", "postgres"


def workflow(name: str, backend: str, servers: int) -> dict[str, Any]:
    """One batch of servers."""
    configs = [{"name": f"{name}-{i}", "plan": "1xCPU-2GB", "zone": "de-fra1"} for i in range(servers)]
    batch = {"id": "up", "type": "server_batch", "provider": "upcloud", "server_configs": configs}
    about = {"name": name, "version": "1", "storage_backend": backend, "parallel_limit": 50}
    return {"batch_workflow": {**about, "operations": [batch]}}


class Terminal:
    """Types commands on one machine, with a SurrealDB server or without."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = environment(folder, BATCHWRIGHT_STATE_DIR=str(folder / "state"))

    def configure(self, url: str) -> None:
        """The server and where its password is."""
        (self.folder / "password").write_text(PASSWORD + "\n")
        place = self.folder / ".config" / "batchwright"
        place.mkdir(parents=True)
        text = f"""[surrealdb]\nurl = "{url}"\nuser = "{USER}"\npassword = {{ file = "{self.folder}/password" }}\n"""
        (place / "config.toml").write_text(text)

    def start(self, *words: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen([*COMMAND, *words], env=self.environ, text=True, stdout=pipe, stderr=pipe)

    def type(self, *words: str, code: int = OK, **environ: str) -> tuple[str, str]:
        """What it says on both streams."""
        done = run_in_process(words, {**self.environ, **environ}, self.folder)
        assert done.returncode == code, done
        return done.stdout, done.stderr

    def json(self, *words: str, code: int = OK, **environ: str) -> Any:
        said, _ = self.type(*words, "--json", code=code, **environ)
        assert PASSWORD not in said
        return json.loads(said)

    def run(self, name: str, backend: str, servers: int = 3, code: int = OK, **environ: str) -> Any:
        definition = workflow(name, backend, servers)
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps(definition))
        sims = [word for setting in SIM for word in ("--sim", setting)]
        return self.json("run", str(file), *sims, code=code, **environ)

    def stores(self) -> dict[str, str]:
        """Where each workflow's run lives, as `list` tells it."""
        return {row["workflow"]: row["store"] for row in self.json("list")["runs"]}

    def check(self) -> None:
        found = self.json("store", "check")
        assert found["ok"], found

    def migrate(self, origin: str, destination: str, *runs: str) -> Any:
        return self.json("store", "migrate", "--from", origin, "--to", destination, *runs)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    with Bridge() as bridge:
        terminal = Terminal(tmp_path)
        terminal.configure(bridge.url)
        yield terminal


def test_list_and_stats_see_the_runs_of_all_stores(terminal: Terminal) -> None:
    terminal.run("here", "filesystem")
    terminal.run("folder", "surrealdb", BATCHWRIGHT_SURREALDB_URL="")
    terminal.run("server", "surrealdb")
    assert terminal.stores() == {"here": FILESYSTEM, "folder": FOLDER, "server": SERVER}
    assert terminal.json("stats")["runs"] == 3
    for row in terminal.json("list")["runs"]:
        assert terminal.json("status", row["run"])["status"] == "Completed"
    terminal.check()
    without = terminal.json("list", BATCHWRIGHT_SURREALDB_URL="")["runs"]
    assert {row["workflow"] for row in without} == {"here", "folder"}


def test_runs_move_between_stores_and_live_on(terminal: Terminal) -> None:
    run = terminal.run("moving", "filesystem")["run"]
    for origin, destination in ((FILESYSTEM, FOLDER), (FOLDER, SERVER), (SERVER, FILESYSTEM), (FILESYSTEM, SERVER)):
        before = terminal.type("events", run, "--json")
        said = terminal.json("store", "migrate", "--from", origin, "--to", destination, run[:6], code=COULD_NOT)
        assert said["error"]["hint"].endswith(f"--from {origin} --to {destination} simulated:moving")
        made = terminal.migrate(origin, destination, "moving")
        [one], [environment] = made["runs"], made["environments"]
        assert (one["run"], one["left"]) == (run, "")
        assert (environment["name"], environment["resources"], environment["left"]) == ("moving", 3, "")
        assert terminal.stores() == {"moving": destination}
        assert terminal.type("events", run, "--json") == before
        terminal.check()
    assert terminal.json("rollback", run, "--yes")["status"] == "RolledBack"
    terminal.check()
    said = terminal.json("status", run, code=COULD_NOT, BATCHWRIGHT_SURREALDB_URL="")
    assert said["error"]["code"] == "run-moved"
    assert "is in the store surrealdb-server" in said["error"]["message"]


def test_runs_move_to_a_postgres_database_and_back(postgres: PostgresAddress, tmp_path: Path) -> None:
    """Nothing says where the database is: neither what is printed nor what is in the state folder knows its URL."""
    terminal = Terminal(tmp_path)
    url = postgres.url.replace("@", ":correct%20horse@", 1)  # the socket asks for no password
    terminal.environ["BATCHWRIGHT_POSTGRES_URL"] = url
    run = terminal.run("moving", "filesystem")["run"]
    terminal.run("born", "postgres")
    assert terminal.stores() == {"moving": FILESYSTEM, "born": POSTGRES}
    for origin, destination in ((FILESYSTEM, POSTGRES), (POSTGRES, FILESYSTEM), (FILESYSTEM, POSTGRES)):
        before = terminal.type("events", run, "--json")
        made = terminal.migrate(origin, destination, "moving")
        assert ([one["left"] for one in made["runs"]], made["environments"][0]["resources"]) == ([""], 3)
        assert terminal.stores()["moving"] == destination
        assert terminal.type("events", run, "--json") == before
        terminal.check()
    assert terminal.json("rollback", run, "--yes")["status"] == "RolledBack"
    terminal.json("store", "prune", "--keep", "1")
    terminal.check()
    told = [
        path for path in (tmp_path / "state").rglob("*") if path.is_file() and b"correct%20horse" in path.read_bytes()
    ]
    assert not told
    unreachable = f"postgresql://me:{PASSWORD.replace(' ', '%20')}@127.0.0.1:1/db"
    said = terminal.run("never", "postgres", code=NO, BATCHWRIGHT_POSTGRES_URL=unreachable)
    [problem] = said["error"]["diagnostics"]
    assert (problem["code"], problem["where"]) == ("store-unreachable", "storage_backend")
    assert "horse" not in json.dumps(said)


def test_a_migration_that_is_killed_goes_on(terminal: Terminal) -> None:
    names = [f"many{number}" for number in range(3)]
    for name in names:
        terminal.run(name, "filesystem", servers=40)
    for kills in range(len(names)):
        process = terminal.start("store", "migrate", "--from", FILESYSTEM, "--to", FOLDER)
        assert process.stdout is not None
        assert any("all compared" in line for line in process.stdout)  # after what the kill left
        process.kill()
        process.communicate(timeout=60)
        stores = terminal.stores()
        assert sorted(stores) == names
        assert list(stores.values()).count(FOLDER) >= kills + 1
        terminal.check()
        if FILESYSTEM not in stores.values():
            break
    terminal.migrate(FILESYSTEM, FOLDER)
    assert set(terminal.stores().values()) == {FOLDER}
    terminal.check()
    terminal.run(names[0], "surrealdb", servers=41, BATCHWRIGHT_SURREALDB_URL="")
    said = terminal.run(names[0], "filesystem", servers=42, code=COULD_NOT)
    assert said["error"]["code"] == "environment-elsewhere"
    planned = terminal.json("plan", str(terminal.folder / f"{names[0]}.json"), "--simulate", code=NO)
    [problem] = [one for one in planned["diagnostics"] if one["code"] == "environment-elsewhere"]
    assert problem["where"] == "storage_backend"
    terminal.check()


@pytest.mark.parametrize(
    ("environ", "code"),
    [
        ({"URL": "ws://127.0.0.1:1"}, "store-unreachable"),
        ({"URL": "oracle://db"}, "store-unavailable"),
        ({"USER": "nobody"}, "store-denied"),
        ({"PASSWORD_FILE": "/no/such/file"}, "secret-missing"),
    ],
)
def test_a_store_that_is_not_available_is_told_before_anything_is_made(
    environ: dict[str, str], code: str, terminal: Terminal
) -> None:
    variables = {f"BATCHWRIGHT_SURREALDB_{key}": value for key, value in environ.items()}
    said = terminal.run("never", "surrealdb", code=NO, **variables)
    [problem] = said["error"]["diagnostics"]
    assert (said["error"]["code"], problem["code"], problem["where"]) == ("plan-refused", code, "storage_backend")
    assert terminal.json("list")["runs"] == []
    assert (
        terminal.json("plan", str(terminal.folder / "never.json"), "--simulate", code=NO, **variables)["plan"] is None
    )


def test_an_unknown_store_is_told(terminal: Terminal) -> None:
    said = terminal.json("store", "migrate", "--from", "oracle", "--to", FOLDER, code=COULD_NOT)
    assert said["error"]["code"] == "usage"
    assert "surrealdb-server" in said["error"]["hint"]


def test_a_service_drives_many_runs_on_a_server_whose_connection_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = itertools.count(1)
    monkeypatch.setenv("SURREAL_PW", PASSWORD)

    async def attempt(bridge: Bridge) -> None:
        server = SurrealConfig(bridge.url, USER, SecretReference(env="SURREAL_PW"))
        monkeypatch.setattr(services, "Settings", lambda folder, **_: Settings(folder, server))
        async with services.serving(tmp_path) as service:
            begun = await asyncio.gather(*(service.submit(workflow(f"w{i}", "surrealdb", 20)) for i in range(6)))
            bridge.cutter = lambda method, _: (BEFORE, AFTER)[bridge.cuts % 2] if next(numbers) % 25 == 0 else None
            views = await asyncio.gather(*(service.until(one.json["run"], "Completed", "Failed") for one in begun))
            assert {(view["status"], view["store"]) for view in views} == {("Completed", SERVER)}
        assert bridge.cuts

    with Bridge() as bridge:
        asyncio.run(attempt(bridge))
