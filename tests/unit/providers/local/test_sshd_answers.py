"""Whether a server's sshd answers: asked once in a moment, and anew for another server process."""

import asyncio
from collections.abc import Awaitable, Callable

from batchwright.providers.local.sshd_answers import FRESH_SECONDS, SshdAnswers

GREETING = b"SSH-2.0-test\r\n"


class HandClock:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> float:
        return self.passed

    def monotonic(self) -> float:
        return self.passed

    async def sleep(self, seconds: float) -> None:
        self.passed += seconds


class Greeter:
    """Counts who comes, and greets with its words."""

    def __init__(self, words: bytes) -> None:
        self.words, self.guests, self.port = words, 0, 0

    async def greet(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.guests += 1
        writer.write(self.words)
        writer.close()


async def visited(words: bytes, visit: Callable[[Greeter], Awaitable[None]]) -> int:
    """How often somebody came during a visit."""
    greeter = Greeter(words)
    async with await asyncio.start_server(greeter.greet, "127.0.0.1", 0) as server:
        greeter.port = server.sockets[0].getsockname()[1]
        await visit(greeter)
    return greeter.guests


def test_an_answer_holds_a_moment() -> None:
    clock = HandClock()
    sshd = SshdAnswers(clock)

    async def visit(greeter: Greeter) -> None:
        for _ in range(3):
            assert await sshd.answers(7, "127.0.0.1", greeter.port)
        assert greeter.guests == 1
        clock.passed += FRESH_SECONDS
        assert await sshd.answers(7, "127.0.0.1", greeter.port)

    assert asyncio.run(visited(GREETING, visit)) == 2


def test_a_server_that_was_started_anew_is_asked() -> None:
    sshd = SshdAnswers(HandClock())

    async def visit(greeter: Greeter) -> None:
        assert await sshd.answers(7, "127.0.0.1", greeter.port)
        assert await sshd.answers(8, "127.0.0.1", greeter.port)

    assert asyncio.run(visited(GREETING, visit)) == 2


def test_what_is_no_answer_is_not_remembered() -> None:
    sshd = SshdAnswers(HandClock())

    async def visit(greeter: Greeter) -> None:
        assert not await sshd.answers(7, "127.0.0.1", greeter.port)
        greeter.words = GREETING
        assert await sshd.answers(7, "127.0.0.1", greeter.port)

    assert asyncio.run(visited(b"not yet\r\n", visit)) == 2
