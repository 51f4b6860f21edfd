"""Live progress: a snapshot, then every event once, whatever is cut, whoever drives, however slow one reads."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import aiohttp

from batchwright.api.progress import EventFrames
from batchwright.app.system_clock import SystemClock
from batchwright.journal.base import Lease
from batchwright.journal.lease_holder import LeaseObserver
from batchwright.journal.memory import MemoryJournal
from batchwright.journal.replay import load_run
from batchwright.model import events as ev
from batchwright.model.run import Run
from batchwright.service import run_feed as feeds
from batchwright.service.run_feed import RunFeed
from tests.support.service_in_loop import RUNS, Serving, serving, workflow
from tests.unit.views.story import fleet

CUTS = 100
STREAM = {"Accept": "text/event-stream"}


def messages(body: bytes) -> list[dict[str, str]]:
    """The complete messages of a stream; comments are left out."""
    found = []
    for part in body.split(b"\n\n")[:-1]:
        lines = [line.partition(b": ") for line in part.split(b"\n")]
        fields = {name.decode(): value.decode() for name, _, value in lines if name}
        if fields:
            found.append(fields)
    return found


async def listen(service: Serving, run: str, last: int | None, most: int) -> bytes:
    """What comes until the end, or until so many bytes have been read; then the connection is cut."""
    headers = {**STREAM, **({} if last is None else {"Last-Event-ID": str(last)})}
    body = b""
    async with service.session.get(f"{service.url}{RUNS}/{run}/progress", headers=headers) as answer:
        assert answer.status == 200, await answer.read()
        async for chunk in answer.content.iter_any():
            body += chunk
            if len(body) >= most:
                return body[:most]
    return body


def test_a_stream_begins_with_a_snapshot_and_ends_with_the_run(tmp_path: Path) -> None:
    async def main() -> tuple[bytes, list[dict[str, Any]]]:
        async with serving(tmp_path) as service:
            run = (await service.submit(workflow(count=20))).json["run"]
            return await listen(service, run, None, 10**9), await service.events(run)

    body, events = asyncio.run(main())
    heard = messages(body)
    assert [heard[0]["event"], heard[-1]["event"]] == ["snapshot", "end"]
    assert json.loads(heard[-1]["data"])["status"] == "Completed"
    first = int(heard[0]["id"])
    assert [json.loads(one["data"]) for one in heard if one["event"] == "event"] == events[first:]


def test_a_stream_cut_a_hundred_times_has_no_gap_and_no_repeat(tmp_path: Path) -> None:
    chance = random.Random(3)

    async def main() -> tuple[list[Any], list[Any], int]:
        async with serving(tmp_path) as service:
            run = (await service.submit(workflow(count=200, parallel_limit=10), boot_seconds="0.2")).json["run"]
            heard: list[dict[str, Any]] = []
            last, cuts, ended = 0, 0, False
            while cuts < CUTS or not ended:
                most = chance.randrange(1, 3_000) if cuts < CUTS else 10**9
                told = messages(await listen(service, run, last, most))
                ended = any(one["event"] == "end" for one in told)
                fresh = [one for one in told if one["event"] == "event"]
                assert all(int(one["id"]) == json.loads(one["data"])["seq"] for one in fresh)
                heard += [json.loads(one["data"]) for one in fresh]
                last = heard[-1]["seq"] if heard else 0
                cuts += 1
            return heard, await all_events(service, run), cuts

    heard, events, cuts = asyncio.run(main())
    assert cuts >= CUTS
    assert heard == events


async def all_events(service: Serving, run: str) -> list[Any]:
    found: list[Any] = []
    after: int | None = 0
    while after is not None:
        page = (await service.get(f"{RUNS}/{run}/events", params={"after": after, "limit": 300})).json
        found += page["items"]
        after = page["next_after"]
    return found


def test_an_event_that_does_not_exist_yet_cannot_be_resumed_from(tmp_path: Path) -> None:
    async def main() -> tuple[int, Any]:
        async with serving(tmp_path) as service:
            run = (await service.submit(workflow())).json["run"]
            answer = await service.get(f"{RUNS}/{run}/progress", headers={**STREAM, "Last-Event-ID": "1000000"})
            return answer.status, answer.json["code"]

    assert asyncio.run(main()) == (400, "usage")


def test_readers_are_let_go_when_the_service_stops(tmp_path: Path) -> None:
    async def main() -> bytes:
        async with serving(tmp_path) as service:
            run = (await service.submit(workflow(), boot_seconds="3600")).json["run"]
            await service.until(run, "Running")
            reading = asyncio.create_task(listen(service, run, None, 10**9))
            while not service.supervisor.feeds.readers:
                await asyncio.sleep(0.01)
            await service.supervisor.stop(0.0)
            return await reading

    assert b"the service is stopping" in asyncio.run(main())


# -- the feed alone -------------------------------------------------------------------------------------------------


class Told:
    """A run in memory that is driven by another process, and its feed."""

    def __init__(self) -> None:
        self.story = fleet()
        self.journal = MemoryJournal()
        self.lease: Lease | None = None

    async def begin(self) -> RunFeed:
        created = self.story.history[0]
        assert isinstance(created, ev.RunCreated)
        await self.journal.create(created, Run(created).summary("memory"))
        self.lease = await self.journal.acquire(created.run, "elsewhere:1:1", SystemClock().now(), 3600)
        run = await load_run(self.journal, created.run)
        return RunFeed(
            self.journal, run, SystemClock(), EventFrames(), lambda _: None, LeaseObserver(SystemClock().monotonic)
        )

    async def tell(self, *events: ev.AnyEvent) -> None:
        assert self.lease is not None
        seq = self.story.run.seq
        for event in events:
            self.story.tell(event)
        await self.journal.append(self.lease, seq, events)


def pauses(count: int) -> list[ev.AnyEvent]:
    return [ev.RunPaused(1.0, "x" * 50) if i % 2 else ev.RunResumed(1.0) for i in range(1, count + 1)]


def test_a_reader_that_falls_behind_the_ring_is_dropped_and_can_come_back(monkeypatch: Any) -> None:
    monkeypatch.setattr(feeds, "RING_EVENTS", 100)

    async def main() -> tuple[bytes | None, list[bytes | None]]:
        told = Told()
        feed = await told.begin()
        slow = feed.attach(None)
        await slow.next()
        await slow.next()
        await told.tell(ev.DriverStarted(1.0, "h", 1), ev.RunStarted(1.0), *pauses(500))
        await feed.refresh()
        dropped = None
        for _ in range(3):  # it may have been woken before
            dropped = await slow.next()
            if dropped is None:
                break
        feed.detach(slow)
        back = feed.attach(1)
        again = [await back.next() for _ in range(503 // feeds.PAST + 1)]
        feed.detach(back)
        return dropped, again

    dropped, again = asyncio.run(main())
    assert dropped is None
    ids = [int(one["id"]) for body in again for one in messages(body or b"") if one["event"] == "event"]
    assert ids == list(range(2, 504))


def test_readers_hear_of_another_process_and_share_what_is_encoded() -> None:
    async def main() -> list[bytes | None]:
        told = Told()
        feed = await told.begin()
        readers = [feed.attach(1) for _ in range(50)]
        for reader in readers:
            await reader.next()
        await told.tell(ev.DriverStarted(1.0, "h", 1), ev.RunStarted(1.0))
        found = []
        for reader in readers:
            chunk = await reader.next()
            while not chunk:
                chunk = await reader.next()
            found.append(chunk)
        for reader in readers:
            feed.detach(reader)
        return found

    found = asyncio.run(main())
    assert len(set(found)) == 1
    assert [one["event"] for one in messages(found[0] or b"")][:2] == ["event", "event"]


def test_a_sign_of_life_comes_when_nothing_happens(tmp_path: Path) -> None:
    async def main() -> bytes:
        async with serving(tmp_path) as service:
            run = (await service.submit(workflow(count=1), boot_seconds="3600")).json["run"]
            await service.until(run, "Running")
            body = b""
            async with service.session.get(
                f"{service.url}{RUNS}/{run}/progress", headers=STREAM, timeout=aiohttp.ClientTimeout(60)
            ) as answer:
                async for chunk in answer.content.iter_any():
                    body += chunk
                    if body.count(b": \n\n") >= 2:
                        break
            return body

    assert asyncio.run(main()).count(b": \n\n") >= 2
