"""Two services on one PostgreSQL store, as behind one address: whichever is asked, it is the same runs."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path
from subprocess import Popen

import pytest
from tests.support.command_line import Command
from tests.support.emulated import Running
from tests.support.fleet import RUNS, SIM, ask, events, flow, until
from tests.support.service_process import service_process

from batchwright.emulators.upcloud import UpCloudBehaviour
from batchwright.journal.postgres import PostgresAddress
from batchwright.providers.simulated import World

SUBMIT = f"{RUNS}/submit?simulate=true" + "".join(f"&sim={key}={value}" for key, value in SIM.items())


class Services:
    """Services of one database and one simulated world, each with a state folder of its own."""

    def __init__(self, folder: Path, address: PostgresAddress, stack: ExitStack) -> None:
        self._folder, self._address, self._stack = folder, address, stack
        self.world_file = folder / "world.db"
        self._running: dict[str, tuple[str, Popen[str]]] = {}

    def begin(self, name: str, **more: str) -> str:
        """Its address; `more` is added to its environment."""
        home = self._folder / name
        (home / "state").mkdir(parents=True, exist_ok=True)
        world = home / "state" / "simulated.db"
        if not world.is_symlink():
            world.symlink_to(self.world_file)
        started = service_process(home, BATCHWRIGHT_POSTGRES_URL=self._address.url, **more)
        self._running[name] = self._stack.enter_context(started)
        return self._running[name][0]

    def kill(self, name: str) -> None:
        _, process = self._running.pop(name)
        process.kill()
        process.wait(60)

    def servers(self) -> Counter[str]:
        world = World(self.world_file)
        names = Counter(server.name for server in world.servers())
        world.close()
        return names


def test_what_one_service_began_the_other_shows_steers_and_completes(postgres: PostgresAddress, tmp_path: Path) -> None:
    with ExitStack() as stack:
        services = Services(tmp_path, postgres, stack)
        one, two = services.begin("one"), services.begin("two")
        run = ask(one, SUBMIT, flow("shop", 12), **{"Idempotency-Key": "k"})["run"]
        assert ask(two, SUBMIT, flow("shop", 12), **{"Idempotency-Key": "k"})["run"] == run
        ask(two, f"{RUNS}/{run}/pause", {})
        until(one, run, "Paused")
        ask(two, f"{RUNS}/{run}/resume", {})
        with ThreadPoolExecutor(2) as both:  # the same key at both at once is one run
            answers = both.map(lambda url: ask(url, SUBMIT, flow("cafe", 2), **{"Idempotency-Key": "c"}), (one, two))
            [cafe] = {answer["run"] for answer in answers}
        seen: list[int] = []
        for number in events(one, run, 0):
            seen.append(number)
            if len(seen) == 20:
                services.kill("one")
        seen += events(two, run, seen[-1])
        view = until(two, run, "Completed")
        assert (view["status"], view["store"]) == ("Completed", "postgres")
        assert seen == list(range(1, len(seen) + 1))
        names = [f"shop-{i:02d}" for i in range(12)] + [f"cafe-{i:02d}" for i in range(2)]
        until(two, cafe, "Completed")
        assert services.servers() == Counter(names)


@pytest.mark.long  # the closing sweep waits as long as the provider may be late
@pytest.mark.parametrize("second", ["service", "command"])
def test_both_keep_within_the_limits_of_an_account_together(
    second: str, postgres: PostgresAddress, tmp_path: Path
) -> None:
    """Each would send three creates at a time by itself; both together never do more."""
    with ExitStack() as stack:
        behaviour = UpCloudBehaviour(answer_seconds=0.2, boot_seconds=0.2, stop_seconds=0.2)
        cloud = stack.enter_context(Running(behaviour))
        services = Services(tmp_path, postgres, stack)
        for name in ("one", "two"):
            place = tmp_path / name / ".config" / "batchwright"
            place.mkdir(parents=True)
            (place / "config.toml").write_text("[upcloud]\nconcurrency = 3\n")
        names = ("one", "two") if second == "service" else ("one",)
        urls = [services.begin(name, **cloud.environ) for name in names]
        runs = [ask(url, f"{RUNS}/submit", flow(f"flow{n}", 6))["run"] for n, url in enumerate(urls)]
        if second == "command":
            (tmp_path / "two" / "flow.json").write_text(json.dumps(flow("flow1", 6)))
            typed = Command(tmp_path / "two", BATCHWRIGHT_POSTGRES_URL=postgres.url, **cloud.environ)
            typed.as_process("run", "flow.json")
            runs.append(ask(urls[0], f"{RUNS}?name=flow1")["items"][0]["run"])
        for run in runs:
            until(random.choice(urls), run, "Completed")
        sent: list[tuple[float, int]] = []
        for run in runs:
            for one in ask(urls[0], f"{RUNS}/{run}/events?limit=1000")["items"]:
                sent += [(one["at"], {"step_started": 1, "step_created": -1}.get(one["type"], 0))]
        in_flight = list(accumulate(change for _, change in sorted(sent)))
        assert max(in_flight) == 3
        assert in_flight[-1] == 0


@pytest.mark.long
def test_services_killed_in_turn_complete_every_run(postgres: PostgresAddress, tmp_path: Path) -> None:
    chance, kills, runs = random.Random(3), 0, dict[str, str]()
    with ExitStack() as stack:
        services = Services(tmp_path, postgres, stack)
        urls = {name: services.begin(name) for name in ("one", "two")}
        for number in range(8):
            urls_now = list(urls.values())
            name = f"flow{number}"
            runs[name] = ask(chance.choice(urls_now), SUBMIT, flow(name, 12), **{"Idempotency-Key": name})["run"]
        while kills < 10:
            victim = chance.choice(list(urls))
            time.sleep(chance.uniform(0.2, 1.5))  # lets them work; nothing depends on how long
            services.kill(victim)
            kills += 1
            urls[victim] = services.begin(victim)
        for run in runs.values():
            until(chance.choice(list(urls.values())), run, "Completed")
        assert services.servers() == Counter(f"{name}-{i:02d}" for name in runs for i in range(12))
