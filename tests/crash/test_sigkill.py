"""Real processes, real SIGKILL: the installed command is killed at random until its run has ended, and again on the way
back. Lost answers, late commits and list lag are on; at the end the simulated clouds hold exactly what they should."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from batchwright.journal.postgres import PostgresAddress
from batchwright.providers.simulated import World
from batchwright.testing import provider_kill_suite
from tests.conformance.surreal_bridge import PASSWORD, USER, Bridge

SIM = (
    *("lost_answers=0.08", "late_commits=0.08", "list_lag=0.3", "late_min=0.1", "late_max=0.6", "transient=0.05"),
    *("answer_seconds=0.1", "boot_seconds=0.6", "destroy_seconds=0.4", "install_seconds=0.3", "read_seconds=0.01"),
)


# Of each run: its store, the seed, how many servers, and how many kills
RUNS = [("filesystem", 0, 24, 6), ("surrealdb-server", 0, 12, 3), ("postgres", 0, 8, 2)]
MORE = [
    *(("filesystem", seed) for seed in range(1, 5)),
    *(("surrealdb", seed) for seed in (0, 1)),
    ("surrealdb-server", 0),
    ("postgres", 0),
]
LONG = [pytest.param(*run, 76, 15, marks=pytest.mark.long) for run in MORE]


def workflow(name: str, backend: str, half: int) -> dict[str, object]:
    """Two clouds with `half` of the servers each, then one task service on every server."""
    retry = {"max_attempts": 15, "initial_delay": 0.1, "max_delay": 0.5}

    def batch(op: str, provider: str, plan: str, zone: str) -> dict[str, object]:
        configs = [{"name": f"{name}-{op}-{i:02d}", "plan": plan, "zone": zone} for i in range(half)]
        return {"id": op, "type": "server_batch", "provider": provider, "server_configs": configs, "retry": retry}

    up, aws = batch("up", "upcloud", "1xCPU-2GB", "de-fra1"), batch("aws", "aws", "t3.micro", "eu-central-1")
    redis = {"id": "redis", "type": "taskserv_batch", "provider": "aws", "dependencies": ["up", "aws"], "retry": retry}
    operations = [up, aws, {**redis, "taskservs": ["redis"]}]
    limits = {"parallel_limit": 12, "storage_backend": backend}
    return {"batch_workflow": {"name": name, "version": "1", **limits, "operations": operations}}


class Terminal(provider_kill_suite.Terminal):
    """Types commands over simulated clouds, whose world stands beside the store."""

    def __init__(self, folder: Path, seed: int, store: str, servers: int, server: str = "") -> None:
        environ = {"URL": server, "USER": USER, "PASSWORD": PASSWORD}
        told = {f"BATCHWRIGHT_SURREALDB_{key}": value for key, value in environ.items()}
        if store == "postgres":
            told = {"BATCHWRIGHT_POSTGRES_URL": server}
        super().__init__(folder, seed, workflow(f"kill{seed}", store.removesuffix("-server"), servers // 2), told)
        self.seed, self.store, self.servers = seed, store, servers

    def world(self) -> World:
        """What there is."""
        return World(self.state / "simulated.db")


@pytest.mark.parametrize(("store", "seed", "servers", "kills"), [*RUNS, *LONG])
def test_a_run_killed_at_random_leaves_no_duplicate_and_no_orphan(
    store: str,
    seed: int,
    servers: int,
    kills: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    if store == "postgres":
        address: PostgresAddress = request.getfixturevalue("postgres")
        kill_and_look(Terminal(tmp_path, seed, store, servers, address.url), kills, capsys)
    elif store == "surrealdb-server":
        with Bridge() as bridge:
            kill_and_look(Terminal(tmp_path, seed, store, servers, bridge.url), kills, capsys)
    else:
        kill_and_look(Terminal(tmp_path, seed, store, servers), kills, capsys)


def kill_and_look(terminal: Terminal, kills: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole story of one run."""
    seed = terminal.seed
    sims = [word for setting in (f"seed={seed}", *SIM) for word in ("--sim", setting)]
    forward = 0
    for _ in terminal.rounds(kills):
        before = terminal.kills
        terminal.until(
            "Completed", ("run", str(terminal.file), *sims), ("resume", "latest"), before + kills - kills // 4
        )
        forward += terminal.kills - before
        world = terminal.world()
        alive = world.servers()
        assert Counter(server.name for server in alive) == Counter(
            f"kill{seed}-{op}-{i:02d}" for op in ("up", "aws") for i in range(terminal.servers // 2)
        )
        installed = {"redis": world.installed_on(alive[0].ref)["redis"]}
        assert all(world.installed_on(server.ref) == installed for server in alive)
        terminal.until("RolledBack", ("rollback", "latest", "--yes"), ("rollback", "latest", "--yes"), before + kills)
        assert not terminal.world().servers()
    assert {row["store"] for row in terminal.ask("list")["runs"]} == {terminal.store}
    assert terminal.ask("store", "check")["ok"]
    times = f"killed {forward} times on the way and {terminal.kills - forward} on the way back"
    with capsys.disabled():
        print(f"\n{terminal.store}, seed {seed}: {terminal.servers} servers, {times}")
