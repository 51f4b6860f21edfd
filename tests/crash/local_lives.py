"""Makes and destroys real servers in processes that are killed: python -m tests.crash.local_lives STATE_DIR SEED KILLS

One process with everything loaded is forked for each life, so that a life is short. Prints one line per life.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable

from batchwright.app.system_clock import SystemClock
from batchwright.model.call_outcome import Created, Gone, ServerState
from batchwright.model.ids import Token
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.local.adapter import Local
from batchwright.providers.local.processes import started_for

RUN = "sigkillsigki"
NAMES = {"one": "shared", "two": "shared", "three": "own"}  # and their networks
LIFE = 0.45  # seconds, at most, from the moment it has begun
PATIENCE = 120.0

Work = Callable[[Local], Awaitable[None]]


def token(name: str) -> Token:
    return Token(RUN, f"token-{name}")


async def make(local: Local) -> None:
    """All of them, as a run sends them again that does not know what became of them."""
    configs = [ServerConfig(name, "1xCPU-256MB", "here", network=network) for name, network in NAMES.items()]
    requests = [request for request in await local.resolve(configs) if isinstance(request, ServerRequest)]
    await asyncio.gather(*(local.create(request, token(request.name)) for request in requests))


async def destroy(local: Local) -> None:
    """Whatever there is, one after the other so that each may be met half-way."""
    for seen in await local.find(RUN):
        while await local.destroy(seen.ref) != Gone():
            await asyncio.sleep(0.02)


async def make_all_ready(local: Local) -> None:
    """Undisturbed: what is left of earlier lives is gone on with, or goes and is made again."""
    configs = [ServerConfig(name, "1xCPU-256MB", "here", network=network) for name, network in NAMES.items()]
    requests = [request for request in await local.resolve(configs) if isinstance(request, ServerRequest)]
    refs = []
    for request in requests:
        answer = await local.create(request, token(request.name))
        while not isinstance(answer, Created):  # a destroy was under way: bring it to its end first
            found = await local.find(RUN, token(request.name).value)
            assert [seen.state for seen in found] == [ServerState.STOPPING], (answer, found)
            await local.destroy(found[0].ref)
            answer = await local.create(request, token(request.name))
        refs.append(answer.ref)
    until = time.monotonic() + PATIENCE
    while any(seen.state is not ServerState.READY for seen in (await local.describe(refs)).values()):
        assert time.monotonic() < until, await local.describe(refs)
        await asyncio.sleep(0.05)
    assert sorted(seen.name for seen in await local.find(RUN)) == sorted(NAMES)
    for ref in refs:  # the sandbox that waits, and the first process inside: never two of them over one server's files
        assert len(started_for(ref)) == 2, (ref, started_for(ref))


def live(state_dir: str, work: Work, began: int = -1) -> None:
    """One life: everything from opening the provider on."""

    async def main() -> None:
        local = Local.connect("local", SystemClock(), {"state_dir": state_dir})
        await local.open()
        if began >= 0:
            os.write(began, b"!")
        await work(local)

    asyncio.run(main())


def killed(state_dir: str, work: Work, chance: random.Random) -> bool:
    """Fork a life and kill it; False if it had ended by then."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        live(state_dir, work, writer)
        os._exit(0)
    os.close(writer)
    os.read(reader, 1)
    os.close(reader)
    time.sleep(chance.uniform(0.0, LIFE))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status
    return os.WIFSIGNALED(status)


def main() -> None:
    state_dir, seed, kills = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    chance, done = random.Random(seed), 0
    while done < kills:
        work = chance.choice((make, make, destroy))
        if killed(state_dir, work, chance):
            done += 1
        print(done, work.__name__, flush=True)
    live(state_dir, make_all_ready)
    print("all ready", flush=True)
    live(state_dir, destroy)
    print("all gone", flush=True)


if __name__ == "__main__":
    main()
