"""Waiting for a server: its reason, its length, and what is not worth waiting for."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from batchwright.model.fault import Fault, FaultClass
from batchwright.model.ssh_access import SshAccess
from batchwright.taskservs.runner.server_readiness import DENIED_SECONDS, ready
from batchwright.taskservs.runner.ssh_connection import ScriptResult, SshConnection, Unreachable
from batchwright.testing.virtual_clock import VirtualClock, run_virtual

ACCESS = SshAccess("127.77.0.5")


class Server:
    """`state(seconds)` is what it shows after so many: None is ready, a text is why not, an Unreachable is raised."""

    def __init__(self, state: Callable[[float], str | Unreachable | None]) -> None:
        self._state, self._clock = state, VirtualClock()
        self.open = 0
        self.told: list[str] = []

    def now(self) -> float:
        return self._clock.now() - self._clock.epoch

    @contextlib.asynccontextmanager
    async def connect(self, _access: SshAccess) -> AsyncIterator[SshConnection]:
        if isinstance(found := self._state(self.now()), Unreachable):
            raise found
        self.open += 1
        try:
            yield self  # type: ignore[misc]
        finally:
            self.open -= 1

    async def script(self, _text: str, _seconds: float) -> ScriptResult:
        why = self._state(self.now())
        return ScriptResult(0, "") if why is None else ScriptResult(1, f"{why}\n")

    async def wait(self, seconds: float) -> float:
        async with ready(ACCESS, self._clock, self.told.append, seconds, self.connect):
            assert self.open == 1
            took = self.now()
        assert self.open == 0
        return took


def refused(*, lasting: bool = False, kind: FaultClass = FaultClass.TRANSIENT) -> Unreachable:
    return Unreachable(Fault(kind, "127.77.0.5: connection refused"), lasting=lasting)


def test_a_server_that_is_ready_is_not_waited_for() -> None:
    server = Server(lambda _: None)
    assert run_virtual(server.wait(60)) == 0
    assert server.told == []


def test_waiting_tells_why_and_how_long_now_and_then() -> None:
    server = Server(lambda at: refused() if at < 9 else "cloud-init has not ended" if at < 15 else None)
    assert run_virtual(server.wait(60)) == pytest.approx(16)
    assert server.told == [
        "waiting until the server is ready: 127.77.0.5: connection refused, 0 s",
        "waiting until the server is ready: 127.77.0.5: connection refused, 6 s",
        "waiting until the server is ready: cloud-init has not ended, 10 s",
    ]


def test_it_is_given_up_after_its_time() -> None:
    server = Server(lambda _: "cloud-init has not ended")
    with pytest.raises(Unreachable, match="did not become ready within 30 s: cloud-init has not ended") as raised:
        run_virtual(server.wait(30))
    assert raised.value.fault.kind is FaultClass.TIMEOUT
    assert server.open == 0


def test_what_waiting_does_not_mend_is_told_at_once() -> None:
    server = Server(lambda _: refused(lasting=True))
    with pytest.raises(Unreachable):
        run_virtual(server.wait(600))
    assert server.told == []


def test_a_server_that_lets_nobody_in_is_not_waited_for_as_long_as_one_that_starts() -> None:
    server = Server(lambda _: refused(kind=FaultClass.AUTH))

    async def main() -> float:
        with pytest.raises(Unreachable):
            await server.wait(1800)
        return server.now()

    assert DENIED_SECONDS <= run_virtual(main()) <= DENIED_SECONDS + 5
