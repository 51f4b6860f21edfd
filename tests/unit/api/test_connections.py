"""A3: connections are bounded, and none may take for ever to say what it wants."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.api import connection_limits as bounds
from batchwright.api.admission_control import Bounds
from batchwright.api.app import described
from batchwright.api.connection_limits import Acceptor, Connections, TimeoutProtocol, most_connections, origin
from tests.support.service_in_loop import RUNS, TRIES, Serving, serving, workflow

OPEN: list[asyncio.StreamWriter] = []  # of the test that runs: a failure leaves none to the next tests
HEAD = b"POST /v1/workflows/batch/validate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


class One:
    """A connection without a request."""

    def __init__(self, address: str, room: Connections) -> None:
        self.address, self.dropped, self._room = address, False, room

    def drop(self, _why: str) -> None:
        self.dropped = True
        self._room.open -= 1


# -- who is let in --------------------------------------------------------------------------------------------------


@given(st.integers(8, 40), st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=200))
def test_there_are_never_more_than_there_may_be_and_no_address_has_more_than_its_share(
    most: int, arrivals: list[tuple[str, bool]]
) -> None:
    """A3."""
    room = Connections(most)
    there: list[One] = []
    for address, whole in arrivals:
        if room.admit(address):
            there.append(One(address, room))
            room.wait(there[-1])
            if whole:
                room.leave(there[-1])
        open_now = [one for one in there if not one.dropped]
        assert room.open == len(open_now) <= most
        assert room.waiting <= room.open
        assert all(sum(one.address == a for one in room._waiting) <= room.share for a in "abc")


def test_who_has_half_a_request_makes_room_and_who_has_a_whole_one_does_not() -> None:
    """A3."""
    room = Connections(8)
    whole = [One(str(i), room) for i in range(7)]
    assert all(room.admit(one.address) for one in whole)
    half = One("x", room)
    assert room.admit("x")
    room.wait(half)
    assert room.admit("y")
    assert (half.dropped, room.open) == (True, 8)
    assert not room.admit("z")
    assert (room.refused, room.dropped) == (1, 1)


def test_who_has_had_an_answer_stays_as_long_as_others_wait_with_half_a_request() -> None:
    """A3."""
    room = Connections(8)
    there = [One(str(i), room) for i in range(8)]
    assert all(room.admit(one.address) for one in there)
    room.rest(there[0])
    room.wait(there[1])
    assert room.admit("x")
    assert room.admit("y")
    assert [one.dropped for one in there[:3]] == [True, True, False]
    assert there[1].dropped
    assert room.open == 8


def test_half_of_the_descriptors_are_left_for_the_runs() -> None:
    """A3."""
    assert [most_connections(n) for n in (256, 1_024, 20_000, 1_048_576)] == [128, 512, 4_096, 4_096]


def test_a_network_of_one_host_is_one_address() -> None:
    """A3."""
    assert origin("2001:db8::1") == origin("2001:db8::ffff:2") != origin("2001:db8:0:1::1")
    assert origin("::ffff:10.0.0.1") == origin("10.0.0.1") == "10.0.0.1"
    assert origin("fe80::1%eth0") == origin("fe80::2")


# -- over the network -----------------------------------------------------------------------------------------------


async def connect(service: Serving, said: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rpartition(":")[2]))
    OPEN.append(writer)
    writer.write(said)
    return reader, writer


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(TRIES):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to this")


async def rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


def play(folder: Path, scenario: Callable[[Serving], Any], connections: Connections, **options: Any) -> None:
    async def main() -> None:
        try:
            async with serving(folder, connections, **options) as service:
                await scenario(service)
        finally:
            for writer in OPEN:
                writer.transport.abort()
            OPEN.clear()

    asyncio.run(main())


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"POST / HT",
        HEAD,
        HEAD + b"Content-Length: 100\r\n\r\n{",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n{",
    ],
    ids=["nothing", "line", "head", "body", "chunk"],
)
def test_what_never_becomes_a_request_is_ended_however_it_trickles(
    said: bytes, tmp_path: Path, monkeypatch: Any
) -> None:
    """A3: time-outs of zero, so that only the order of things counts."""
    monkeypatch.setattr(bounds, "HEAD_SECONDS", 0.0)
    monkeypatch.setattr(bounds, "BODY_SECONDS", 0.0)
    monkeypatch.setattr(bounds, "BODY_RATE", 1e9)
    room = Connections(16)

    async def scenario(service: Serving) -> None:
        reader, writer = await connect(service, said)

        async def trickle() -> None:
            while said:
                writer.write(b"x")
                await asyncio.sleep(0.05)

        trickling = asyncio.create_task(trickle())
        assert b"200 OK" not in await rest(reader)
        trickling.cancel()
        writer.close()
        await until(lambda: room.open == 0)
        assert room.dropped >= 1

    play(tmp_path, scenario, room)


def test_many_half_requests_do_not_keep_a_whole_one_out(tmp_path: Path) -> None:
    """A3: a hundred at a service of 16 connections; each new one takes the place of the oldest."""
    room = Connections(16)

    async def scenario(service: Serving) -> None:
        there = [await connect(service, HEAD) for _ in range(100)]
        assert (await service.get("/health/live")).status == 200
        await until(lambda: room.open <= room.share + 1)
        assert room.dropped >= 100 - room.share
        for _, writer in there:
            writer.close()

    play(tmp_path, scenario, room)


def test_more_than_there_may_be_are_told_so(tmp_path: Path) -> None:
    """A3: all places are taken by requests that are being answered."""
    room = Connections(8)

    async def scenario(service: Serving) -> None:
        made = (await service.submit({"batch_workflow": _endless()}, boot_seconds=3600)).json["run"]
        await service.session.close()
        await until(lambda: room.open == 0)
        head = (
            f"GET /v1/workflows/batch/{made}/progress HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
        )
        readers = [await connect(service, head.encode()) for _ in range(8)]
        for reader, _ in readers:
            await reader.readuntil(b"event: snapshot")
        refused, writer = await connect(service)
        answer = await rest(refused)
        writer.close()
        assert room.refused == 1
        head_of_answer, _, body = answer.partition(b"\r\n\r\n")
        assert head_of_answer.startswith(b"HTTP/1.1 503")
        assert json.loads(body)["code"] == "service-busy"
        for _, writer in readers:
            writer.close()

    play(tmp_path, scenario, room)


def test_a_connection_that_does_not_end_in_time_is_cut_off_when_the_service_stops(tmp_path: Path) -> None:
    """A3: here one whose body never comes; the service waits for it for no longer than it says."""
    room = Connections(8)

    async def main() -> None:
        async with serving(tmp_path, room) as service:
            reader, writer = await connect(service, HEAD + b"Content-Length: 5\r\n\r\n")
            await until(lambda: room.open == 1 and room.waiting == 1)
        assert await rest(reader) == b""
        assert room.open == 0
        writer.close()
        with contextlib.suppress(OSError):  # it was cut off
            await writer.wait_closed()

    asyncio.run(main())


def test_readers_of_progress_are_bounded(tmp_path: Path) -> None:
    """A3."""

    async def scenario(service: Serving) -> None:
        run = (await service.submit({"batch_workflow": _endless()}, boot_seconds=3600)).json["run"]
        path, accept = f"{service.url}/v1/workflows/batch/{run}/progress", {"Accept": "text/event-stream"}
        async with service.session.get(path, headers=accept) as first, service.session.get(path, headers=accept):
            await first.content.readuntil(b"event: snapshot")
            refused = await service.get(f"/v1/workflows/batch/{run}/progress", headers=accept)
        assert (refused.status, refused.json["code"]) == (503, "service-busy")
        assert refused.headers["retry-after"] == "1"

    play(tmp_path, scenario, Connections(16), bounds=Bounds(readers=2))


def test_requests_without_an_answer_are_bounded_and_health_is_told_all_the_same(tmp_path: Path) -> None:
    """A3: one whose body has not come holds the only place, until it is whole."""
    room = Bounds(unanswered=1)

    async def scenario(service: Serving) -> None:
        reader, writer = await connect(service, HEAD + b"Content-Length: 2\r\nConnection: close\r\n\r\n")
        await until(lambda: room.waiting == 1)
        refused = await service.get("/v1/workflows/batch")
        assert (refused.status, refused.json["code"]) == (503, "service-busy")
        assert (await service.get("/health/live")).status == 200
        writer.write(b"{}")
        assert b"422" in (await rest(reader)).splitlines()[0]
        writer.close()
        assert (await service.get("/v1/workflows/batch")).status == 200
        assert room.waiting == 0

    play(tmp_path, scenario, Connections(16), bounds=room)


def test_who_takes_no_answer_is_dropped(tmp_path: Path, monkeypatch: Any) -> None:
    """A3: its descriptor and what was to be written are free again."""
    monkeypatch.setattr(bounds, "TAKEN_SECONDS", 0.0)
    room = Connections(16)

    async def scenario(service: Serving) -> None:
        ask = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
        _, writer = await connect(service, ask * 200)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await until(lambda: room.dropped == 1)
        await until(lambda: room.open == 0)
        writer.close()

    play(tmp_path, scenario, room)


def test_without_descriptors_it_is_accepted_again_later_and_not_in_a_loop(monkeypatch: Any) -> None:
    """A3: the socket stays readable while nothing can be accepted."""
    monkeypatch.setattr(bounds, "FULL_SECONDS", 0.05)
    tried, short = 0, True

    class Short(socket.socket):
        def accept(self) -> Any:
            nonlocal tried
            tried += 1
            if short:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return super().accept()

    async def main() -> int:
        nonlocal short
        sock = Short()
        sock.bind(("127.0.0.1", 0))
        made = asyncio.Event()

        def make(_address: str) -> TimeoutProtocol:
            made.set()
            return asyncio.Protocol()  # type: ignore[return-value]

        acceptor = Acceptor(sock, Connections(16), make, None)
        _, writer = await asyncio.open_connection(*sock.getsockname())
        turns = 0
        while tried < 3:
            await asyncio.sleep(0)
            turns += 1
        short = False
        await made.wait()
        acceptor.close()
        writer.close()
        sock.close()
        return turns

    assert asyncio.run(main()) > 3  # turns of the loop in which nothing was tried


def test_too_many_or_too_large_headers_are_refused(tmp_path: Path) -> None:
    """A6."""

    async def scenario(service: Serving) -> None:
        for head in ({f"x-{i}": "a" for i in range(101)}, {f"x-{i}": "a" * 4_000 for i in range(10)}):
            answer = await service.get("/health", headers=head)
            assert (answer.status, answer.json["code"]) == (431, "head-too-large")

    play(tmp_path, scenario, Connections(16))


def _endless() -> dict[str, Any]:
    server = {"name": "web-1", "plan": "small", "zone": "zone-a"}
    batch = {"id": "web", "type": "server_batch", "provider": "simulated", "server_configs": [server]}
    return {"name": "flow", "version": "1", "operations": [batch], "parallel_limit": 1}


def test_a_body_that_is_no_http_is_told_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its head was right, so the application was asked already: its answer goes to nobody."""

    async def main() -> bytes:
        async with serving(tmp_path) as service:
            reader, writer = await connect(service, HEAD + b"Transfer-Encoding: chunked\r\n\r\nno size\r\n")
            answer = await rest(reader)
            writer.close()
            return answer

    assert asyncio.run(main()).startswith(b"HTTP/1.1 400 ")
    assert [record for record in caplog.records if record.exc_info] == []


def test_after_an_answer_has_begun_there_is_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What comes then and is no HTTP ends the connection."""

    async def main() -> bytes:
        async with serving(tmp_path) as service:
            run = (await service.submit(workflow(), boot_seconds=60)).json["run"]
            head = f"GET {RUNS}/{run}/progress HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
            reader, writer = await connect(service, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            begun = await reader.readuntil(b"\r\n\r\n")
            writer.write(b"no size\r\n")
            answer = begun + await rest(reader)
            writer.close()
            return answer

    assert asyncio.run(main()).count(b"HTTP/1.1") == 1
    assert [record for record in caplog.records if record.exc_info] == []


def test_what_describes_the_service_leaves_its_log_alone() -> None:
    """With a handler of the framework everything is logged twice, once as it came."""
    before = [*logging.getLogger().handlers]
    described.cache_clear()
    described()
    assert logging.getLogger().handlers == before
