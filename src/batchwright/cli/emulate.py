"""emulate: serve a cloud's own service on this machine, to rehearse on with the real adapter."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer

from batchwright.app.emulator_backend import opened
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import StateDir, pairs_of, settings_of
from batchwright.cli.output import note, say
from batchwright.emulators import registry
from batchwright.emulators.backend_reconciler import BackendReconciler
from batchwright.emulators.cloud import CloudEmulator, EmulatorServer
from batchwright.errors import UsageError

Cloud = Annotated[str, typer.Argument(metavar="CLOUD", help="aws, hetzner, upcloud, or one that a plug-in adds.")]
Port = Annotated[
    int | None, typer.Option("--port", min=0, max=65535, help="0: any free port; each cloud has its own default.")
]
Seed = Annotated[int, typer.Option("--seed", help="The same seed gives the same faults.")]
Scale = Annotated[float, typer.Option("--time-scale", help="0.01: servers boot in a hundredth of the usual time.")]
Faults = Annotated[
    list[str] | None,
    typer.Option("--fault", metavar="KEY=VALUE", help="Such as lost_answers=0.1; may be repeated."),
]
BackedBy = Annotated[
    str | None,
    typer.Option("--backed-by", metavar="PROVIDER", help="Back each server with a real one of this provider: local."),
]
Explain = Annotated[
    bool, typer.Option("--explain", help="List what is emulated, how that is known and which faults exist, then exit.")
]


def emulate(
    cloud: Cloud,
    port: Port = None,
    seed: Seed = 0,
    time_scale: Scale = 1.0,
    fault: Faults = None,
    backed_by: BackedBy = None,
    state_dir: StateDir = None,
    explain: Explain = False,
) -> int:
    """Serve an emulated cloud until Ctrl-C, to rehearse on with the real adapter."""
    found = registry.load(cloud)
    from batchwright.emulators.server import serve  # needs a package that load() has found

    if explain:
        for line in found.explanation():
            say(line)
        return Exit.OK
    emulator = found.started(pairs_of("--fault", fault), seed, time_scale)
    environ = " ".join(f"{name}={value}" for name, value in found.environ.items())

    def tell(url: str) -> None:
        say(f"{found.title} is emulated at {url}, seed {seed}, times scaled by {time_scale:g}")
        say(f"  use it    export {environ.format(url=url)}")
        say(f"  look      curl {url}/_emulator")
        say(f"  covers    batchwright emulate {cloud} --explain")

    async def until_ended() -> None:
        async with _backed(cloud, found, emulator, backed_by, state_dir):
            await until_stopped(serve(emulator, found.port if port is None else port), tell)

    asyncio.run(until_ended())
    left = {kind: rows for kind, rows in emulator.account.summary().items() if isinstance(rows, list)}
    say("left: " + ", ".join(f"{kind}: {len(rows)}" for kind, rows in left.items()))
    return Exit.OK


@asynccontextmanager
async def _backed(
    name: str, cloud: CloudEmulator, emulator: EmulatorServer, by: str | None, state_dir: Path | None
) -> AsyncIterator[None]:
    """Each emulated server is one of the provider `by`, if there is one. Raises UsageError, ProviderUnavailable."""
    if by is None:
        yield
        return
    if cloud.backed is None:
        raise UsageError(
            f"emulate {name}: --backed-by is not for this cloud", hint="Servers of aws and upcloud have it."
        )
    account = cloud.backed(emulator.account)
    async with (
        opened(by, settings_of(state_dir), name) as provider,
        BackendReconciler(provider, account, note).running(),
    ):
        yield


async def until_stopped(serving: AbstractAsyncContextManager[str], told: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or a SIGTERM; `told` is given the address as soon as it can be asked. Raises UsageError."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        try:
            url = await stack.enter_async_context(serving)
        except OSError as error:
            raise UsageError(f"cannot listen: {error.strerror or error}", hint="Use another --port, or 0.") from error
        told(url)
        await stop.wait()
