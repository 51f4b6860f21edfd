"""Servers of this machine for tests of what is done on them: made in a folder of the test's own, gone at its end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from batchwright.app.clock import SystemClock
from batchwright.model.ids import Token
from batchwright.model.outcome import Created, Gone, ServerState
from batchwright.model.plan import ServerRequest
from batchwright.model.workflow import ServerConfig
from batchwright.providers.local import base
from batchwright.providers.local.adapter import Local
from batchwright.providers.local.machine import SYSTEM, this_machine
from batchwright.taskservs.base import Target

RUN = "aaaaaaaaaaaa"


def need_servers() -> None:
    """Skip where this machine can make no servers with a service manager; fail where it should."""
    machine = this_machine()
    if machine.mode == SYSTEM:
        if not base.place(os.environ).is_dir():
            base.build(os.environ, lambda _line: None)
        return
    why = f"no servers with a service manager can be made on this machine: {machine.why}"
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


@contextlib.asynccontextmanager
async def servers(folder: Path, *names: str) -> AsyncIterator[tuple[Target, ...]]:
    """Servers that are ready, with how they are reached."""
    provider = Local.connect("local", SystemClock(), {"state_dir": str(folder)})
    await provider.open()
    refs: list[str] = []
    try:
        for name in names:
            refs.append(await _made(provider, name))
        seen, ways = await provider.describe(refs), await provider.access(refs)
        yield tuple(
            Target("local", ref, name, seen[ref].address, ways[ref]) for name, ref in zip(names, refs, strict=True)
        )
    finally:
        for ref in refs:
            while not isinstance(await provider.destroy(ref), Gone):
                await SystemClock().sleep(0.1)
        await provider.aclose()


async def _made(provider: Local, name: str) -> str:
    (request,) = await provider.resolve([ServerConfig(name, "1xCPU-512MB", "here")])
    assert isinstance(request, ServerRequest), request
    made = await provider.create(request, Token(RUN, f"{name}-token"))
    assert isinstance(made, Created), made
    for _ in range(600):
        if (await provider.describe([made.ref]))[made.ref].state is ServerState.READY:
            return made.ref
        await SystemClock().sleep(0.1)
    raise AssertionError(f"{name} did not become ready")
