"""Environments change while services, workers, Temporal and PostgreSQL are killed at random."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.fleet import Fleet
from tests.support.place import CONCURRENCY, Place
from tests.support.postgres_server import PostgresServer
from tests.support.storm import Storm, Weather, check_end
from tests.support.temporal_server import TemporalServer

from batchwright.app.backing_services import TemporalConfig
from batchwright.journal.postgres import PostgresAddress


def begun(fleet: Fleet, services: int, workers: int) -> None:
    for number in range(services):
        fleet.begin_service(f"service{number}")
    for number in range(workers):
        fleet.begin_worker(f"worker{number}", "--runs", "20", "--grace", "1")


def test_a_small_storm(postgres: PostgresAddress, tmp_path: Path) -> None:
    with ExitStack() as stack:
        temporal = stack.enter_context(TemporalServer(tmp_path))
        fleet = Fleet(tmp_path, postgres, TemporalConfig(temporal.address), stack)
        begun(fleet, services=1, workers=2)
        weather = Weather(environments=2, changes=4, kills=3, pause=1.5, servers=("temporal",))
        Storm(fleet, None, temporal, weather, seed=4).rage()
        assert asyncio.run(check_end(postgres, fleet)) >= 8


@pytest.mark.long  # some ten minutes on two cores
def test_a_storm(tmp_path: Path) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer())
        postgres = server.new_database()
        temporal = stack.enter_context(TemporalServer(tmp_path))
        fleet = Fleet(tmp_path, postgres, TemporalConfig(temporal.address), stack)
        place = stack.enter_context(Place(fleet))
        begun(fleet, services=2, workers=4)
        for name in ("place0", "place1"):
            place.begin(name)
        weather = Weather(environments=40, changes=8, kills=200, pause=5.0, killers=3, placed=10)
        storm = Storm(fleet, server, temporal, weather, seed=1, place=place)
        storm.rage()
        in_storm = place.most_at_once()  # a call there goes on when its driver is killed: more than the account takes
        storm.after()
        assert place.most_at_once() <= CONCURRENCY, "the limit of the account, whoever calls"
        runs = asyncio.run(check_end(postgres, fleet, place))
        told = f"{runs} runs, {storm.read} events read, kills {dict(storm.kills)}, ends {dict(storm.ends)}"
        print(f"{told}, at most {in_storm} creates at once")
        assert runs >= 320
        assert sum(storm.kills.values()) == 200
        assert storm.kills["place"] > 0
