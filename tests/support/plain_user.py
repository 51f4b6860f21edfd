"""Makes, uses and destroys a server as a plain user: python -m tests.support.plain_user FOLDER UID [build]

Started as root with everything loaded, it then gives root up for good: the interpreter itself may be out of the user's
reach. Prints what it saw as JSON.
"""

from __future__ import annotations

import asyncio
import encodings.idna  # noqa: F401 - loaded now, as are the others so marked: later there is nothing to load from
import json
import os
import subprocess
import sys
import time
import zoneinfo  # noqa: F401
from concurrent.futures import thread  # noqa: F401
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization  # noqa: F401
from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: F401

from batchwright.app.system_clock import SystemClock
from batchwright.model.call_outcome import Created, Gone, Observed, ServerState
from batchwright.model.ids import Token
from batchwright.model.openssh_command import known_hosts, ssh_command
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.local import base_tree
from batchwright.providers.local.adapter import Local
from batchwright.providers.local.addresses import claimed
from batchwright.providers.local.processes import started_for

PATIENCE = 120.0
LOOK_AROUND = """\
cd; id -u; hostname; touch kept; chown daemon kept && echo chown
echo x > /proc/sys/kernel/hostname 2>/dev/null || echo read-only
cat ran
"""


async def ready(local: Local, ref: str) -> Observed:
    until = time.monotonic() + PATIENCE
    while (seen := (await local.describe([ref]))[ref]).state is ServerState.STARTING:
        assert time.monotonic() < until, seen
        await asyncio.sleep(0.05)
    return seen


async def run(local: Local, folder: Path, ref: str, script: str) -> str:
    access = (await local.access([ref]))[ref]
    hosts = folder / "known_hosts"
    hosts.write_text(known_hosts([access]))
    command = ssh_command(access, str(hosts), ["sh", "-c", script])
    ssh = [command[0], "-F", "none", *command[1:]]
    done = await asyncio.to_thread(subprocess.run, ssh, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return done.stdout or done.stderr


async def story(folder: Path) -> dict[str, Any]:
    local = Local.connect("local", SystemClock(), {"state_dir": str(folder / "state")})
    await local.open()
    config = ServerConfig("web", "1xCPU-256MB", "here", user_data="#!/bin/sh\nhostname >> ~root/ran\n")
    (request,) = await local.resolve([config])
    assert isinstance(request, ServerRequest), request
    own = local.validate(ServerConfig("web", "1xCPU-256MB", "here", network="own"))
    answer = await local.create(request, Token("run", "token"))
    assert isinstance(answer, Created), answer
    seen = await ready(local, answer.ref)
    said = await run(local, folder, answer.ref, LOOK_AROUND) if seen.state is ServerState.READY else str(seen.fault)
    await local.stop(answer.ref)
    stopped = (await local.describe([answer.ref]))[answer.ref].state
    await local.start(answer.ref)
    await ready(local, answer.ref)
    again = await run(local, folder, answer.ref, "cd; ls; wc -l < ran")
    while await local.destroy(answer.ref) != Gone():
        await asyncio.sleep(0.02)
    return {
        "mode": local.machine.mode,
        "abilities": [local.capabilities.init, local.capabilities.privileged, local.capabilities.own_network],
        "own": [trouble.code for trouble in own],
        "state": seen.state,
        "address": seen.address,
        "said": said.split(),
        "stopped": stopped,
        "again": again.split(),
        "left": [path.name for path in (folder / "state" / "local" / "servers").iterdir()],
        "running": started_for(answer.ref),
        "claims": [one for one in claimed().values() if str(folder) in one],
    }


def main() -> None:
    folder, uid = Path(sys.argv[1]), int(sys.argv[2])
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    os.chdir(folder)
    if "build" in sys.argv[3:]:  # a base tree of one's own, as the user gets it
        print(json.dumps(str(base_tree.build(os.environ, lambda line: print(line, file=sys.stderr)))))
    else:
        print(json.dumps(asyncio.run(story(folder))))


if __name__ == "__main__":
    main()
