"""Stand-ins for the clouds' own services, for rehearsals with the real adapters: emulate upcloud, aws, hetzner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from batchwright.app.emulator_backend import opened
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import StateDir, pairs_of, settings_of
from batchwright.cli.output import note, say
from batchwright.emulators.backend import Backing, Front
from batchwright.emulators.program import until_stopped
from batchwright.errors import ProviderUnavailable
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


@contextmanager
def _needed(name: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ProviderUnavailable(
            f"the emulated {name} needs a package that is not installed: {error.name}",
            hint=f"Install it with: pip install 'batchwright[{name}]'",
        ) from error


def _explain(lines: Iterable[str]) -> int:
    for line in lines:
        say(line)
    return Exit.OK


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
    with _needed("upcloud"):
        from batchwright.emulators import upcloud as emulated
    if explain:
        return _explain(emulated.explanation())
    emulator = emulated.UpCloudEmulator(emulated.emulation_from(pairs_of("--fault", fault), seed, time_scale))
    _serve(
        emulated.serve(emulator, port),
        _backed(backed_by, state_dir, "upcloud", emulated.BackedUpCloudAccount(emulator.estate)),
        f"UpCloud is emulated at {{url}}, seed {seed}, times scaled by {time_scale:g}",
        f"  use it    export UPCLOUD_API_URL={{url}} UPCLOUD_TOKEN={emulated.TOKEN}",
        f"  look      curl {{url}}{emulated.SUMMARY}",
        "  covers    batchwright emulate upcloud --explain",
    )
    left = emulator.estate.summary()
    servers, disks, addresses = (len(left[kind]) for kind in ("servers", "disks", "addresses"))
    say(f"left: {counted(servers, 'server')}, {counted(disks, 'disk')}, addresses: {addresses}")
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
    with _needed("aws"):
        from batchwright.emulators import aws as emulated
    if explain:
        return _explain(emulated.explanation())
    server = emulated.AwsServer(emulated.behaviour(pairs_of("--fault", fault), seed, time_scale), port)
    _serve(
        emulated.serve(server),
        _backed(backed_by, state_dir, "aws", emulated.BackedAwsAccount(server.cloud)),
        f"AWS is emulated at {{url}}, seed {seed}, times scaled by {time_scale:g}",
        "  use it    export AWS_ENDPOINT_URL={url} AWS_ACCESS_KEY_ID=emulated AWS_SECRET_ACCESS_KEY=emulated",
        f"  look      curl {{url}}{emulated.INVENTORY}",
        "  covers    batchwright emulate aws --explain",
    )
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
    with _needed("hetzner"):
        from batchwright.emulators import hetzner as emulated
    if explain:
        return _explain(emulated.explanation())
    emulator = emulated.HetznerEmulator(emulated.emulation_from(pairs_of("--fault", fault), seed, time_scale))
    _serve(
        emulated.serve(emulator, port),
        nullcontext(),
        f"Hetzner is emulated at {{url}}, seed {seed}, times scaled by {time_scale:g}",
        f"  use it    export HCLOUD_ENDPOINT={{url}}/v1 HCLOUD_TOKEN={emulated.TOKEN}",
        f"  look      curl {{url}}{emulated.SUMMARY}",
        "  covers    batchwright emulate hetzner --explain",
    )
    summary = emulator.estate.summary()
    say(f"left: {counted(len(summary['servers']), 'server')}, {counted(len(summary['ssh_keys']), 'key')}")
    return Exit.OK


def _serve(serving: AbstractAsyncContextManager[str], backing: AbstractAsyncContextManager[None], *told: str) -> None:
    """Serve until Ctrl-C or a SIGTERM; {url} in what is told is where."""

    def tell(url: str) -> None:
        for line in told:
            say(line.format(url=url))

    async def work() -> None:
        async with backing:
            await until_stopped(serving, tell)

    asyncio.run(work())


@asynccontextmanager
async def _backed(by: str | None, state_dir: Path | None, cloud: str, front: Front) -> AsyncIterator[None]:
    """Each server of the front is one of the provider `by`, if there is one."""
    if by is None:
        yield
        return
    async with opened(by, settings_of(state_dir), cloud) as provider, Backing(provider, front, note).running():
        yield
