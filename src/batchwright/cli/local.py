"""The commands for servers on this machine: local base build, show, remove; local start, stop."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from batchwright.app.local_base_image import BaseTree, base_tree, build_base, remove_base
from batchwright.app.local_start_stop import start_servers, stop_servers
from batchwright.app.system_clock import SystemClock
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Json, NoColor, StateDir, settings_of
from batchwright.cli.output import note, print_json, say
from batchwright.views.text_format import counted, duration

app = typer.Typer(help="Servers on this machine.")
base_app = typer.Typer(help="The base system that all local servers share.")
app.add_typer(base_app, name="base")

Names = Annotated[
    list[str] | None, typer.Argument(metavar="[SERVER]...", help="Names or references; default: all servers.")
]

Image = Annotated[
    str, typer.Option("--image", metavar="IMAGE", help="Such as debian-13; default: this machine's own release.")
]

NO_BOUNDARY = "Local servers are not a security boundary: run only what you trust."


@app.command("start")
def start(servers: Names = None, state_dir: StateDir = None, json: Json = False, _no_color: NoColor = False) -> int:
    """Start stopped servers with their data, also after a reboot of this machine."""
    started = asyncio.run(start_servers(settings_of(state_dir), SystemClock(), servers or ()))
    if json:
        print_json({"servers": started})
    else:
        for one in started:
            say(f"{one.name}  {one.ref}  {one.address}  runs")
    return Exit.OK


@app.command("stop")
def stop(servers: Names = None, state_dir: StateDir = None, json: Json = False, _no_color: NoColor = False) -> int:
    """Stop servers and keep their data."""
    stopped = asyncio.run(stop_servers(settings_of(state_dir), SystemClock(), servers or ()))
    if json:
        print_json({"servers": stopped})
    else:
        for one in stopped:
            say(f"{one.name}  {one.ref}  stopped; start it again with: batchwright local start {one.name}")
    return Exit.OK


@base_app.command("build")
def build(image: Image = "", json: Json = False, _no_color: NoColor = False) -> int:
    """Build the base system, unless it exists: a small system with systemd and sshd. It takes about a minute."""
    tree = base_tree(image)
    if not tree.built:
        note(f"building {tree.path}: {tree.image} with systemd and sshd, from this machine's package sources.")
        note("This takes about a minute and 300 MB of disk, once.")
    built = build_base(lambda line: note(f"  {line}"), image)
    if json:
        print_json(built)
    elif built.seconds:
        say(f"built in {duration(built.seconds)}: {_line(built.tree)}")
    else:
        say(f"already built: {_line(built.tree)}")
    return Exit.OK


@base_app.command("show")
def show(image: Image = "", json: Json = False, _no_color: NoColor = False) -> int:
    """Show its path, size and how many servers use it. Exit code 1 if it has not been built."""
    tree = base_tree(image)
    if json:
        print_json(tree)
    elif tree.built:
        say(_line(tree))
        note(NO_BOUNDARY)
    else:
        say(f"{tree.path} ({tree.image}) has not been built")
        note(f"hint: build it with: batchwright local base build{f' --image {image}' if image else ''}")
    return Exit.OK if tree.built else Exit.NO


@base_app.command("remove")
def remove(image: Image = "", json: Json = False, _no_color: NoColor = False) -> int:
    """Remove the base system. Refused while servers use it."""
    tree = remove_base(image)
    if json:
        print_json({"removed": tree.built, "tree": tree})
    else:
        say(f"removed {tree.path}" if tree.built else f"{tree.path} does not exist")
    return Exit.OK


def _line(tree: BaseTree) -> str:
    return f"{tree.path} ({tree.image}), {tree.bytes // 1_000_000} MB, {counted(len(tree.used_by), 'server')} using it"
