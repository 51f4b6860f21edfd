"""Whatever happens, a world in a file that two clients take turns at is the world in memory."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.examples import share

from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.simulated import SimulatedServer, World

SERVERS = st.integers(1, 6)
TASKSERVS = st.sampled_from(["redis", "cilium"])
CHANGES = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(["t1", "t2", ""])),
    st.tuples(st.just("destroy"), SERVERS, st.integers(0, 50)),
    st.tuples(st.just("install"), SERVERS, TASKSERVS),
    st.tuples(st.just("remove"), SERVERS, TASKSERVS),
    st.tuples(st.just("attempt"), st.sampled_from(["create/a", "create/b"])),
)


def change(world: World, now: float, what: tuple[object, ...]) -> object:
    with world.turn:
        match what:
            case ("add", str(token)):
                ref = f"s{world.next_serial()}"
                request = ServerRequest("web", "small", "zone-a")
                ready = now + 3 if world.next_serial() % 2 else None
                world.add(SimulatedServer(ref, "p", "a", "run1", token, request, "198.18.0.1", now, now + 2, ready))
                return ref
            case ("destroy", int(n), int(takes)):
                if world.server(f"s{n}") is not None:
                    world.destroy(f"s{n}", now, now + takes)
            case ("install", int(n), str(taskserv)):
                world.install(f"s{n}", taskserv, "1")
            case ("remove", int(n), str(taskserv)):
                world.remove(f"s{n}", taskserv)
            case ("attempt", str(key)):
                return world.attempt(key)
    return None


def picture(world: World) -> object:
    now = [[(s.ref, s.state(at), s.exists(at)) for s in world.servers(at)] for at in range(0, 60, 7)]
    return now, world.servers(), world.installed(), world.duplicates()


@given(st.lists(st.tuples(st.booleans(), CHANGES), max_size=25))
@settings(max_examples=share(40), deadline=None)
def test_a_shared_file_is_the_same_world(history: list[tuple[bool, tuple[object, ...]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        memory, one, two = World(), World(Path(folder) / "w.db"), World(Path(folder) / "w.db")
        for now, (first, what) in enumerate(history):
            assert change(one if first else two, now, what) == change(memory, now, what)
        later = World(Path(folder) / "w.db")
        assert picture(one) == picture(two) == picture(later) == picture(memory)
        for world in (one, two, later):
            world.close()
