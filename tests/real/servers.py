"""Servers of this machine for tests of what is done on them: made in a folder of the test's own, gone at its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from batchwright.app.system_clock import SystemClock
from batchwright.errors import ProviderUnavailable
from batchwright.model.call_outcome import Created, Gone, ServerState
from batchwright.model.ids import Token
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.local import base_tree
from batchwright.providers.local.adapter import Local
from batchwright.taskservs.base import Target
from tests.support.needs import missing
from tests.support.sandboxes import need_sandboxes

RUN = "aaaaaaaaaaaa"


@contextlib.asynccontextmanager
async def servers(
    folder: Path, *names: str, network: str = "shared", image: str | None = None
) -> AsyncIterator[tuple[Target, ...]]:
    """Servers that are ready, with how they are reached."""
    provider = Local.connect("local", SystemClock(), {"state_dir": str(folder)})
    await provider.open()
    refs: list[str] = []
    try:
        for name in names:  # one by one, so that what was made is known when the next cannot be
            refs.append(await _made(provider, name, network, image))  # noqa: PERF401
        seen, ways = await provider.describe(refs), await provider.access(refs)
        yield tuple(
            Target("local", ref, name, seen[ref].address, ways[ref]) for name, ref in zip(names, refs, strict=True)
        )
    finally:
        for ref in refs:
            while not isinstance(await provider.destroy(ref), Gone):
                await SystemClock().sleep(0.1)
        await provider.aclose()


def need_image(image: str) -> None:
    """Make a server's system if there is none; where that cannot be, the test is skipped, which is an error in CI."""
    need_sandboxes()
    try:
        base_tree.build(os.environ, print, base_tree.release_of(image))
    except ProviderUnavailable as error:
        missing(f"{error.message}. {error.hint}")


@contextlib.contextmanager
def standing(folder: Path, *names: str) -> Iterator[tuple[Target, ...]]:
    """The same servers for several tests, each of which has an event loop of its own."""
    with asyncio.Runner() as runner:
        made = servers(folder, *names)
        targets = runner.run(made.__aenter__())
        try:
            yield targets
        finally:
            runner.run(made.__aexit__(None, None, None))


async def _made(provider: Local, name: str, network: str, image: str | None) -> str:
    (request,) = await provider.resolve([ServerConfig(name, "1xCPU-512MB", "here", image, network=network)])
    assert isinstance(request, ServerRequest), request
    made = await provider.create(request, Token(RUN, f"{name}-token"))
    assert isinstance(made, Created), made
    for _ in range(600):
        if (await provider.describe([made.ref]))[made.ref].state is ServerState.READY:
            return made.ref
        await SystemClock().sleep(0.1)
    raise AssertionError(f"{name} did not become ready")
