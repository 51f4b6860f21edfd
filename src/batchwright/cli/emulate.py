"""Stand-ins for the clouds' own services, for rehearsals with the real adapters: emulate upcloud, aws, hetzner."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Annotated, Any

import typer

from batchwright.app.backing import opened
from batchwright.cli.codes import Exit
from batchwright.cli.options import StateDir, pairs_of, settings_of
from batchwright.cli.output import note, say
from batchwright.errors import ProviderUnavailable, UsageError
from batchwright.testing.emulators.backing import Backing
from batchwright.views.wording import counted

app = typer.Typer(help="Emulate a cloud's own service on this machine, to rehearse on with the real adapter.")

Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")]
Seed = Annotated[int, typer.Option("--seed", help="What goes wrong is the same for the same seed.")]
Scale = Annotated[float, typer.Option("--time-scale", help="0.01 lets a server boot in a hundredth of the usual time.")]
Faults = Annotated[
    list[str] | None,
    typer.Option("--fault", metavar="KEY=VALUE", help="Such as lost_answers=0.1; may be repeated."),
]
Explain = Annotated[bool, typer.Option("--explain", help="Only say what is emulated and how that is known.")]


BackedBy = Annotated[
    str | None,
    typer.Option("--backed-by", metavar="PROVIDER", help="Each server is really one of this provider: local."),
]


def _missing(name: str, error: ImportError) -> ProviderUnavailable:
    return ProviderUnavailable(
        f"the emulated {name} needs a package that is not installed: {error.name}",
        hint=f"Install it with: pip install 'batchwright[{name}]'",
    )


@app.command("upcloud")
def upcloud(
    port: Port = 9180,
    seed: Seed = 0,
    time_scale: Scale = 1.0,
    fault: Faults = None,
    backed_by: BackedBy = None,
    state_dir: StateDir = None,
    explain: Explain = False,
) -> int:
    """Serve an UpCloud account with API 1.3 until Ctrl-C."""
    try:
        from batchwright.testing.emulators import upcloud as emulated
    except ImportError as error:
        raise _missing("upcloud", error) from error
    if explain:
        for line in emulated.explanation():
            say(line)
        return Exit.OK
    emulation = emulated.emulation_from(pairs_of("--fault", fault), seed, time_scale)
    emulator = emulated.Emulator(emulation)

    def told(url: str) -> None:
        say(f"UpCloud is emulated at {url}, seed {seed}, times scaled by {time_scale:g}")
        say(f"  use it    export UPCLOUD_API_URL={url} UPCLOUD_TOKEN={emulated.TOKEN}")
        say(f"  look      curl {url}{emulated.SUMMARY}")
        say("  covers    batchwright emulate upcloud --explain")

    async def work() -> None:
        async with AsyncExitStack() as stack:
            if backed_by is not None:
                provider = await stack.enter_async_context(opened(backed_by, settings_of(state_dir), "upcloud"))
                backing = Backing(provider, emulated.BackedEstate(emulator.estate), note)
                await stack.enter_async_context(backing.running())
            await _until_stopped(emulated.serve(emulator, port), told)

    asyncio.run(work())
    _tell_left(emulator.estate.summary())
    return Exit.OK


@app.command("aws")
def aws(
    port: Port = 9181,
    seed: Seed = 0,
    time_scale: Scale = 1.0,
    fault: Faults = None,
    backed_by: BackedBy = None,
    state_dir: StateDir = None,
    explain: Explain = False,
) -> int:
    """Serve an AWS account with EC2 and what goes with it until Ctrl-C."""
    try:
        from batchwright.testing.emulators import aws as emulated
    except ImportError as error:
        raise _missing("aws", error) from error
    if explain:
        for line in emulated.explanation():
            say(line)
        return Exit.OK
    server = emulated.Server(emulated.behaviour(pairs_of("--fault", fault), seed, time_scale), port)

    def told(url: str) -> None:
        say(f"AWS is emulated at {url}, seed {seed}, times scaled by {time_scale:g}")
        say(f"  use it    export AWS_ENDPOINT_URL={url} AWS_ACCESS_KEY_ID=emulated AWS_SECRET_ACCESS_KEY=emulated")
        say(f"  look      curl {url}{emulated.INVENTORY}")
        say("  covers    batchwright emulate aws --explain")

    async def work() -> None:
        async with AsyncExitStack() as stack:
            if backed_by is not None:
                provider = await stack.enter_async_context(opened(backed_by, settings_of(state_dir), "aws"))
                backing = Backing(provider, emulated.BackedCloud(server.cloud), note)
                await stack.enter_async_context(backing.running())
            await _until_stopped(emulated.serve(server), told)

    asyncio.run(work())
    say(f"left: {emulated.left(server)}")
    return Exit.OK


@app.command("hetzner")
def hetzner(
    port: Port = 9182,
    seed: Seed = 0,
    time_scale: Scale = 1.0,
    fault: Faults = None,
    explain: Explain = False,
) -> int:
    """Serve a project of Hetzner Cloud until Ctrl-C."""
    try:
        from batchwright.testing.emulators import hetzner as emulated
    except ImportError as error:
        raise _missing("hetzner", error) from error
    if explain:
        for line in emulated.explanation():
            say(line)
        return Exit.OK
    emulator = emulated.Emulator(emulated.emulation_from(pairs_of("--fault", fault), seed, time_scale))

    def told(url: str) -> None:
        say(f"Hetzner is emulated at {url}, seed {seed}, times scaled by {time_scale:g}")
        say(f"  use it    export HCLOUD_ENDPOINT={url}/v1 HCLOUD_TOKEN={emulated.TOKEN}")
        say(f"  look      curl {url}{emulated.SUMMARY}")
        say("  covers    batchwright emulate hetzner --explain")

    asyncio.run(_until_stopped(emulated.serve(emulator, port), told))
    summary = emulator.estate.summary()
    say(f"left: {counted(len(summary['servers']), 'server')}, {counted(len(summary['ssh_keys']), 'key')}")
    return Exit.OK


async def _until_stopped(serving: AbstractAsyncContextManager[str], told: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or a SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with serving as url:
            told(url)
            await stop.wait()
    except OSError as error:
        raise UsageError(f"cannot listen: {error.strerror or error}", hint="Use another --port, or 0.") from error


def _tell_left(summary: dict[str, Any]) -> None:
    servers, disks, addresses = (len(summary[kind]) for kind in ("servers", "disks", "addresses"))
    say(f"left: {counted(servers, 'server')}, {counted(disks, 'disk')}, addresses: {addresses}")
