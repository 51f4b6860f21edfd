"""Servers that are destroyed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batchwright.app import live_servers
from batchwright.app.live_servers import FoundServers, ListedServer, Servers
from batchwright.app.multi_store import Stores
from batchwright.app.settings import Settings
from batchwright.errors import ServerNotFound
from batchwright.model.call_outcome import ServerState
from batchwright.model.fault import Fault, FaultClass
from batchwright.testing.virtual_clock import VirtualClock, run_virtual

BUSY = Fault(FaultClass.TRANSIENT, "the service is not available")
NEVER = Fault(FaultClass.AUTH, "no such key")


@pytest.mark.parametrize(
    ("answers", "wanted", "calls"),
    [([BUSY, BUSY, None], None, 3), ([NEVER, None], NEVER, 1), ([BUSY] * 99, BUSY, 6)],
)
def test_a_refusal_that_passes_is_waited_for_but_not_for_ever(
    answers: list[Fault | None],
    wanted: Fault | None,
    calls: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    made: list[Fault | None] = []

    class Calls:
        def __init__(self, *_: Any) -> None:
            pass

        async def destroy(self) -> Fault | None:
            made.append(answers[len(made)])
            return made[-1]

    monkeypatch.setattr(live_servers, "ServerConvergence", Calls)

    async def main() -> Fault | None:
        settings = Settings(tmp_path)
        servers = Servers(settings, Stores(settings), VirtualClock())
        servers._around.providers["simulated"] = object()  # type: ignore[assignment]
        return await servers.destroy(listed("web-1", "ref"))

    assert run_virtual(main()) == wanted
    assert len(made) == calls


def listed(name: str, ref: str) -> ListedServer:
    return ListedServer(name, "simulated", ref, ServerState.READY, "zone-a", "small", "10.0.0.1", "run")


def test_what_is_left_of_a_server_is_named() -> None:
    found = FoundServers(servers=(listed("disk of web-1", "disk:7"), listed("web-10", "9")), troubles=())
    with pytest.raises(ServerNotFound) as told:
        found.named("web-1")
    assert "disk:7" in told.value.hint
