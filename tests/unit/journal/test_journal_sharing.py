"""One process holds the SurrealDB folder; others read and signal through it, and take over when it goes."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from batchwright.errors import RunNotFound, StoreHeld, StoreUnavailable
from batchwright.journal.base import Lease, Snapshot
from batchwright.journal.lease_holder import driver_of, own_holder
from batchwright.journal.surreal import SurrealJournal
from batchwright.journal.surreal.embedded import journal as sharing
from batchwright.journal.surreal.embedded import lock, owner, peer, protocol
from batchwright.model.delivery import Delivery
from batchwright.model.run_signal import Signal, SignalKind
from batchwright.testing.journal_suite import NOW, begun, created, opened, steps, summary_of

SCRIPT = Path(__file__).with_name("journal_process.py")
HOOK = Delivery("bbbb", "workflow/ci")
PAUSE = Signal(SignalKind.PAUSE, NOW, "here")


@contextmanager
def driver(folder: Path, events: int = 3) -> Iterator[subprocess.Popen[str]]:
    """Another process that drives run "bbbb"."""
    command = [sys.executable, str(SCRIPT), "drive", "surreal", str(folder), str(events)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "driving\n"
        try:
            yield process
        finally:
            if process.stdin is not None:
                process.stdin.close()
            process.wait(30)


def test_a_second_process_reads_and_signals_what_the_first_drives(tmp_path: Path) -> None:
    async def visit(pid: int) -> None:
        async with opened(lambda: SurrealJournal(tmp_path)) as journal:
            assert await journal.read("bbbb", 1) == list(enumerate(steps(2, 3_000), 2))
            assert [summary.run for summary in await journal.summaries()] == ["bbbb"]
            assert await journal.summary("bbbb") == summary_of("bbbb")
            assert await journal.snapshot("bbbb") is None
            assert await journal.deliveries("bbbb") == await journal.pending_deliveries() == [HOOK]
            assert await journal.deliveries("aaaa") == []
            assert str(pid) in str(driver_of(await journal.held("bbbb"), NOW))
            await journal.signal("bbbb", PAUSE)
            assert await journal.signals("bbbb") == [(1, PAUSE)]
            with pytest.raises(RunNotFound, match="there is no run none") as caught:
                await journal.read("none")
            assert "batchwright list" in caught.value.hint

    with driver(tmp_path, 3_000) as process:
        asyncio.run(visit(process.pid))


def test_a_second_process_is_told_who_keeps_it_from_writing(tmp_path: Path) -> None:
    async def visit(pid: int) -> None:
        async with opened(lambda: SurrealJournal(tmp_path)) as journal:
            lease = Lease("bbbb", "here", 1, NOW)
            for call in (
                journal.create(created("aaaa"), summary_of("aaaa")),
                journal.append(lease, 1, steps(2, 1)),
                journal.acquire("bbbb", "here", NOW),
                journal.save_snapshot(lease, Snapshot(1, b"")),
            ):
                with pytest.raises(StoreHeld, match=f"process {pid} on .* has the store .* open") as caught:
                    await call
                assert 'storage_backend = "filesystem"' in caught.value.hint

    with driver(tmp_path) as process:
        asyncio.run(visit(process.pid))


@pytest.mark.parametrize("end", ["leaves", "is killed"])
def test_a_guest_takes_over_when_the_holder_goes(end: str, tmp_path: Path) -> None:
    async def visit(process: subprocess.Popen[str]) -> None:
        async with opened(lambda: SurrealJournal(tmp_path)) as journal:
            assert len(await journal.read("bbbb")) == 4
            if end == "leaves":
                assert process.stdin is not None
                process.stdin.close()
            else:
                process.kill()
            await asyncio.to_thread(process.wait)
            assert len(await journal.read("bbbb")) == 4
            lease = await journal.acquire("bbbb", own_holder(), NOW)
            assert await journal.append(lease, 4, steps(5, 1)) == 5
            await journal.signal("bbbb", PAUSE)

    with driver(tmp_path) as process:
        asyncio.run(visit(process))


def test_a_killed_holder_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with driver(tmp_path / "store") as process:
        left = lock.lock_owner(tmp_path / "store")
        assert left is not None
        process.kill()
    if not Path(left.socket).exists():
        pytest.fail("the killed process should have left its socket")

    async def visit() -> None:
        async with opened(lambda: SurrealJournal(tmp_path / "store")) as journal:
            assert not Path(left.socket).parent.exists()
            await begun(journal)

    asyncio.run(visit())


def test_a_holder_that_drives_nothing_hands_the_folder_over(tmp_path: Path) -> None:
    """A `monitor` that took over from a killed `run` must not keep the next `run` from writing."""

    async def attempt() -> None:
        async with opened(lambda: SurrealJournal(tmp_path)) as one, opened(lambda: SurrealJournal(tmp_path)) as two:
            lease = await begun(two)
            assert [summary.run for summary in await one.summaries()] == ["aaaa"]
            with pytest.raises(StoreHeld):
                await one.create(created("bbbb"), summary_of("bbbb"))
            assert await two.append(lease, 1, steps(2, 1)) == 2
            await two.release(lease)
            await begun(one, "bbbb")
            assert len(await two.summaries()) == 2
            with pytest.raises(StoreHeld):
                await two.acquire("aaaa", "here", NOW)

    asyncio.run(attempt())


def test_one_that_lost_its_run_may_hand_the_folder_over(tmp_path: Path) -> None:
    async def attempt() -> None:
        async with opened(lambda: SurrealJournal(tmp_path)) as one, opened(lambda: SurrealJournal(tmp_path)) as two:
            await begun(one)
            with pytest.raises(StoreHeld):
                await two.acquire("aaaa", "there", NOW, silent=await two.held("aaaa"))
            await one.aclose()
            assert (await two.acquire("aaaa", "there", NOW, silent=await two.held("aaaa"))).fence == 2

    asyncio.run(attempt())


def test_many_guests_at_the_same_time(tmp_path: Path) -> None:
    async def look(number: int) -> int:
        async with opened(lambda: SurrealJournal(tmp_path)) as journal:
            await journal.signal("aaaa", Signal(SignalKind.PAUSE, NOW + number))
            return len(await journal.read("aaaa"))

    async def attempt() -> None:
        async with opened(lambda: SurrealJournal(tmp_path)) as journal:
            lease = await begun(journal)
            await journal.append(lease, 1, steps(2, 1_500))
            assert await asyncio.gather(*map(look, range(20))) == [1_501] * 20
            assert [number for number, _ in await journal.signals("aaaa")] == list(range(1, 21))

    asyncio.run(attempt())


def test_a_holder_that_hangs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "ANSWER_SECONDS", 0.05)

    async def visit() -> None:
        async with opened(lambda: SurrealJournal(tmp_path)) as journal:
            await journal.summaries()

    with driver(tmp_path) as process:
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(StoreHeld, match=f"process {process.pid} on .* holds the store and gave no answer"):
            asyncio.run(visit())
        os.kill(process.pid, signal.SIGCONT)


def test_a_holder_of_another_version_is_named(tmp_path: Path) -> None:
    ours = lock.take(tmp_path)
    assert ours is not None
    ours.tell("/nowhere", protocol.WIRE + 1)

    with pytest.raises(StoreHeld, match=f"process {os.getpid()} on .* is another version"):
        asyncio.run(SurrealJournal(tmp_path).open())
    ours.release()


def test_a_holder_that_never_listens_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "PAUSE", 0.0)
    monkeypatch.setattr(sharing, "TRIES", 3)
    ours = lock.take(tmp_path)
    assert ours is not None
    with pytest.raises(StoreHeld, match=f"process {os.getpid()} on"):
        asyncio.run(SurrealJournal(tmp_path).open())
    ours.release()
    asyncio.run(use(tmp_path))


async def use(folder: Path) -> None:
    async with opened(lambda: SurrealJournal(folder)) as journal:
        await begun(journal)


def test_what_a_stranger_sends_is_bounded_and_harmless(tmp_path: Path) -> None:
    async def attempt() -> None:
        async with opened(lambda: SurrealJournal(tmp_path)) as journal:
            await begun(journal)
            where = lock.lock_owner(tmp_path)
            assert where is not None
            for sent in (b"\xff\xff\xff\xff", b"\0\0\0\5hello\0\0\0\0", b"\0\0", (b"\0\x0f\xff\xff" + bytes(0xFFFFF))):
                reader, writer = await asyncio.open_unix_connection(where.socket)
                writer.write(sent)
                writer.write_eof()
                with suppress(ConnectionResetError):  # the rest was not even read
                    await reader.read()
                writer.close()
            assert [summary.run for summary in await journal.summaries()] == ["aaaa"]

    asyncio.run(attempt())


def test_a_message_of_any_size_passes_in_frames() -> None:
    async def echo(body: object) -> object:
        reader = asyncio.StreamReader()

        class Pipe:
            def write(self, data: bytes) -> None:
                reader.feed_data(data)

            async def drain(self) -> None:
                pass

        await protocol.send_result(Pipe(), body)  # type: ignore[arg-type]
        return await protocol.receive_reply(reader, type(body))

    for size in (0, 1, protocol.FRAME - 1, protocol.FRAME, protocol.FRAME + 1, 3 * protocol.FRAME):
        assert asyncio.run(echo(bytes(size))) == bytes(size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "MAX_REPLY", protocol.FRAME)
        with pytest.raises(protocol.TooLarge):
            asyncio.run(echo(bytes(protocol.FRAME)))


def test_a_socket_s_path_is_short_whatever_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    place = owner.private_folder()
    assert len(str(place)) < 80
    assert place.stat().st_mode & 0o777 == 0o700
    place.rmdir()
    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(StoreUnavailable, match="no temporary folder for a socket"):
        owner.private_folder()


def refuse(prefix: str, dir: str) -> str:  # noqa: A002 - mkdtemp's own names
    raise PermissionError(13, "Permission denied", dir)
