"""A storm over a fleet: environments change while services, workers, Temporal and PostgreSQL are killed at random.

Every run must end, nothing may happen twice, and what there is must be what the environments have.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from http.client import HTTPException
from itertools import count
from typing import Any
from urllib.error import URLError

from msgspec import Struct

from batchwright.app.backing_services import PostgresConfig
from batchwright.app.multi_store import Stores
from batchwright.app.run_reader import history
from batchwright.app.settings import Settings
from batchwright.journal.base import Journal
from batchwright.journal.environment_state import environment_problems
from batchwright.journal.postgres import PostgresAddress
from batchwright.model import events as ev
from batchwright.model.lifecycle import RUN_ENDED
from batchwright.model.run import Run
from batchwright.providers.simulated import World
from tests.support.fleet import RUNS, Fleet, ask, events
from tests.support.place import Place
from tests.support.postgres_server import PostgresServer
from tests.support.temporal_server import TemporalServer

PATIENCE = 600.0  # seconds in which a run must end, whatever is killed meanwhile
LAST = 1001  # the number of the change after the storm
LIMIT = 3  # steps of a run at a time
DOOMED = "doomed"  # the end of the name of a server that cannot be made
CHANGES = {"retire": "allowed", "replace": "allowed"}
FAULTS = {"transient": 0.05, "lost_answers": 0.04, "late_commits": 0.03, "late_max": 1.0, "read_errors": 0.02}
TIMES = {"answer_seconds": 0.05, "boot_seconds": 0.4, "read_seconds": 0.01, "destroy_seconds": 0.1}


class Weather(Struct, frozen=True):
    """How hard it is: at least `changes` of each environment, one after the other, until there were so many kills.

    `killers` kill at the same time, each with `pause` seconds between two kills at most. The last `placed` of the
    environments are at a place.
    """

    environments: int
    changes: int
    kills: int
    pause: float
    killers: int = 1
    placed: int = 0
    servers: tuple[str, ...] = ("postgres", "temporal")  # that are killed, too


class Storm:
    """Runs until every environment has had its changes and every kill has happened."""

    def __init__(
        self,
        fleet: Fleet,
        postgres: PostgresServer | None,
        temporal: TemporalServer,
        weather: Weather,
        seed: int,
        place: Place | None = None,
    ) -> None:
        self._fleet, self._postgres, self._temporal, self._place = fleet, postgres, temporal, place
        self._weather = weather
        self._chance = random.Random(seed)
        self._over = threading.Event()  # enough kills
        self._calm = threading.Event()  # every environment has had its changes
        self._victims = [*fleet.processes, *weather.servers]  # that are not being killed at this moment
        self._lock = threading.Lock()
        self.kills: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.resumed = 0
        self.read = 0  # events that readers were given

    def rage(self) -> None:
        """All of it; raises what any part of it raises."""
        weather = self._weather
        with ThreadPoolExecutor(weather.environments + weather.killers + 1) as pool:
            around = [pool.submit(self._kill_many) for _ in range(weather.killers)]
            around.append(pool.submit(self._resume_all))
            changes = [
                pool.submit(
                    self._life,
                    f"env{number:02d}",
                    random.Random(self._chance.random()),
                    number >= weather.environments - weather.placed,
                )
                for number in range(weather.environments)
            ]
            try:
                left = set(changes)
                while left:  # whatever fails ends the storm, also what only makes the weather
                    done, _ = wait([*left, *around], return_when=FIRST_COMPLETED)
                    for part in done:
                        part.result()
                    left -= done
                    around = [part for part in around if part not in done]
            finally:
                self._over.set()
                self._calm.set()
            for part in around:
                part.result()

    # -- what people do -------------------------------------------------------------------------------------------

    def _ask(self, path: str, body: Any = None, **headers: str) -> Any:
        """Ask any service until one answers."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return ask(random.choice(list(self._fleet.urls.values())), path, body, **headers)
            except (URLError, OSError, HTTPException, AssertionError) as error:
                later = not isinstance(error, AssertionError) or any(one in str(error) for one in LATER)
                if not later or time.monotonic() > until:
                    raise
                time.sleep(0.2)  # until somebody tries again

    def _life(self, name: str, chance: random.Random, placed: bool) -> None:
        """The life of one environment."""
        for number in count(1):
            if number > self._weather.changes and self._over.is_set():
                return
            self._change(name, number, chance, placed)

    def _change(self, name: str, number: int, chance: random.Random, placed: bool) -> None:
        plan, doomed = chance.choice(["1xCPU-2GB", "2xCPU-4GB"]), number % 4 == 0
        names = [f"{name}-{i}" for i in range(chance.randint(1, 4))] + doomed * [f"{name}-{DOOMED}"]
        settings = {**TIMES, **FAULTS, "seed": number, "fail": f"*-{DOOMED}"}
        query = "simulate=true&" + "&".join(f"sim={key}={value}" for key, value in settings.items())
        path, key = f"{RUNS}/submit?{'' if placed else query}", f"{name}-{number}"
        own = self._ask(path, _flow(name, names, plan), **{"Idempotency-Key": key})["run"]
        if number % 4 == 2:
            self._try(f"{RUNS}/{own}/pause")  # another part of the storm resumes it
        self._follow(own)
        status = self._end(own)
        assert status == ("RolledBack" if doomed else "Completed"), f"{own} is {status}"
        self.ends[status] += 1

    def after(self) -> None:
        """One more change of every environment that is at a place, all at once, when nothing is killed any more."""
        first = self._weather.environments - self._weather.placed
        names = [f"env{number:02d}" for number in range(first, self._weather.environments)]
        with ThreadPoolExecutor(len(names)) as pool:
            for change in [pool.submit(self._change, name, LAST, random.Random(name), True) for name in names]:
                change.result()

    def _resume_all(self) -> None:
        """Resume what is paused, again and again: the answer to a pause may have been lost."""
        while not self._calm.wait(1.0):
            for row in self._ask(f"{RUNS}?status=Paused")["items"]:
                self._try(f"{RUNS}/{row['run']}/resume")
                self.resumed += 1

    def _try(self, path: str) -> None:
        """Ask for something that may be under way already, as its answer may have been lost."""
        try:
            self._ask(path, {})
        except AssertionError as error:
            if "not-allowed" not in str(error) and "run-held" not in str(error):
                raise
            time.sleep(0.2)

    def _end(self, own: str) -> str:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            view = self._ask(f"{RUNS}/{own}")
            if view["status"] in ENDED and not view.get("rollback_due"):
                return str(view["status"])
            time.sleep(0.2)  # between two looks
        raise AssertionError(f"{own} does not end: {view['status']}, {view.get('next')}")

    def _follow(self, own: str) -> None:
        """Read the run's events to its end, at whichever service answers; none may be missing or come twice."""
        last, until = 0, time.monotonic() + PATIENCE
        while time.monotonic() < until:
            for number in events(random.choice(list(self._fleet.urls.values())), own, last):
                assert number == last + 1, f"a reader of {own} got event {number} after {last}"
                last = number
                self.read += 1
            if self._ask(f"{RUNS}/{own}")["status"] in ENDED:
                return

    # -- what goes wrong ------------------------------------------------------------------------------------------

    def _kill_many(self) -> None:
        while not self._over.wait(self._chance.uniform(0.1, self._weather.pause)):
            with self._lock:
                if sum(self.kills.values()) == self._weather.kills:
                    self._over.set()
                    return
                victim = self._victims.pop(self._chance.randrange(len(self._victims)))
                self.kills[victim.rstrip("0123456789")] += 1
            self._kill(victim)
            self._victims.append(victim)

    def _kill(self, victim: str) -> None:
        if victim in ("postgres", "temporal"):
            server = self._postgres if victim == "postgres" else self._temporal
            assert server is not None
            server.kill()
            time.sleep(self._chance.uniform(0.0, 3.0))  # an outage
            server.start()
        elif victim in self._fleet.urls:
            self._fleet.kill(victim)
            _patiently(lambda: self._fleet.begin_service(victim))
        elif self._place is not None and victim in self._place.workers:
            self._fleet.kill(victim)
            place = self._place
            _patiently(lambda: place.begin(victim))
        else:
            self._fleet.kill(victim)
            _patiently(lambda: self._fleet.begin_worker(victim, "--runs", "20", "--grace", "1"))


# its store is away, it is stopping, others ask too often, or the worker at the place was killed while it was asked
LATER = ('"status":503', '"status":429', "environment-busy", "place-answer-lost", "place-unreachable")
ENDED = {status.value for status in RUN_ENDED}


def _patiently(begin: Callable[[], object]) -> None:
    for _ in range(20):
        try:
            begin()
        except AssertionError:  # its store is away
            time.sleep(0.5)
        else:
            return
    begin()


def _flow(name: str, names: list[str], plan: str) -> dict[str, Any]:
    configs = [{"name": one, "plan": plan, "zone": "de-fra1"} for one in names]
    retry = {"max_attempts": 15, "initial_delay": 0.1, "max_delay": 0.5}
    up = {"id": "up", "type": "server_batch", "provider": "upcloud", "server_configs": configs, "retry": retry}
    about = {"name": name, "version": "1", "storage_backend": "postgres", "parallel_limit": LIMIT, "changes": CHANGES}
    about["on_failure"] = "rollback"
    return {"batch_workflow": {**about, "operations": [up]}}


async def check_end(address: PostgresAddress, fleet: Fleet, place: Place | None = None) -> int:
    """What must be so when all is calm again; gives how many runs there are."""
    world = World(fleet.world_file)
    try:
        assert world.duplicates() == {}
        standing = {(one.provider, one.ref) for one in world.servers()}
    finally:
        world.close()
    standing |= place.standing() if place else set()
    async with Stores(Settings(fleet.folder, postgres=PostgresConfig(address.url))) as stores:
        journal = await stores.get("postgres")
        assert await environment_problems(journal) == []
        had = set()
        for row in await journal.environments():
            assert (row.tenant, row.unsettled, row.through) == ("", "", row.turn), row
            had |= {(one.provider, one.ref) for one in await journal.resources(row.key) if one.is_own_server}
        assert had == standing, f"orphans: {standing - had}, missing: {had - standing}"
        every = await journal.runs()
        for own in every:
            await _check_run(journal, own)
        return len(every)


async def _check_run(journal: Journal, own: str) -> None:
    """It has ended, did nothing twice (the fold refuses that), and never did more at a time than it may."""
    run: Run | None = None
    async for _, event in history(journal, own, 0):
        if run is None:
            assert isinstance(event, ev.RunCreated)
            run = Run(event)
        else:
            run.apply(event)
        assert len(run.in_flight) <= LIMIT
    assert run is not None
    assert run.status in RUN_ENDED
