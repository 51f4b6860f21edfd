"""The command `emulate`: serves an emulated cloud API on this machine, so that the real adapter can be rehearsed."""

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
    int | None, typer.Option("--port", min=0, max=65535, help="0 picks a free port; each cloud has its own default.")
]
Seed = Annotated[int, typer.Option("--seed", help="The same seed gives the same faults.")]
Scale = Annotated[float, typer.Option("--time-scale", help="With 0.01 servers boot in a hundredth of the usual time.")]
Faults = Annotated[
    list[str] | None,
    typer.Option("--fault", metavar="KEY=VALUE", help="For example lost_answers=0.1; may be repeated."),
]
BackedBy = Annotated[
    str | None,
    typer.Option(
        "--backed-by", metavar="PROVIDER", help="Back each emulated server with a real one of this provider: local."
    ),
]
Explain = Annotated[
    bool, typer.Option("--explain", help="List what is emulated, the evidence and the faults, then exit.")
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
    """Serve an emulated cloud until Ctrl-C, to rehearse with the real adapter."""
    found = registry.load(cloud)
    from batchwright.emulators.server import serve  # needs an extra package, which load() checks for

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
    """Back each emulated server with one of the provider `by`, unless it is empty. Raises UsageError,
    ProviderUnavailable.
    """
    if by is None:
        yield
        return
    if cloud.backed is None:
        raise UsageError(
            f"emulate {name}: --backed-by does not work with this cloud", hint="It works with aws and upcloud."
        )
    account = cloud.backed(emulator.account)
    async with (
        opened(by, settings_of(state_dir), name) as provider,
        BackendReconciler(provider, account, note).running(),
    ):
        yield


async def until_stopped(serving: AbstractAsyncContextManager[str], told: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM. `told` is called with the address once it accepts requests. Raises UsageError."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        try:
            url = await stack.enter_async_context(serving)
        except OSError as error:
            raise UsageError(
                f"cannot listen: {error.strerror or error}", hint="Choose another --port, or 0."
            ) from error
        told(url)
        await stop.wait()
