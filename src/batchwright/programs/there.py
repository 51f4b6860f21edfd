"""Programs on servers, over SSH. What may be secret goes over the connection's input, never onto a command line."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from importlib.util import find_spec
from typing import Any

from msgspec.structs import replace

from batchwright.errors import SecretMissing
from batchwright.model.outcome import Applied, Fault, FaultClass, Rejected, Unknown
from batchwright.model.plan import CommandRequest
from batchwright.model.secret import Secret
from batchwright.model.workflow import Command
from batchwright.programs.base import MARK, RUN, STEP, Flaw, Launch
from batchwright.programs.finding import find_there
from batchwright.programs.here import outcome_of, revealed
from batchwright.programs.output import Output

CONNECT_SECONDS = 30.0
SWEEP_SECONDS = 25.0  # for looking for what an earlier start left, and ending it

Reveal = Callable[[Secret], str]

# Looks for processes whose environment holds the mark; `end` also ends them, gently first. Prints what is there then.
# A shell, grep and tr are all that it takes; grep -z is in GNU's, BSD's and BusyBox's.
SWEEP = """\
found() {
    grep -lzxF "$mark" /proc/[0-9]*/environ 2>/dev/null | tr -dc '0-9\\n'
}
for signal in TERM KILL; do
    [ "$verb" = end ] || break
    left=$(found)
    [ -z "$left" ] || kill -$signal $left
    tries=0
    while [ $tries -lt 25 ] && [ -n "$(found)" ]; do sleep 0.2; tries=$((tries + 1)); done
done
found
"""


class There:
    """The launcher for servers that are reached over SSH. `reveal` finds a secret when it is used."""

    def __init__(self, environ: Mapping[str, str], reveal: Reveal) -> None:
        self._environ = environ
        self._reveal = reveal

    async def resolve(self, command: Command) -> CommandRequest | list[Flaw]:
        if find_spec("asyncssh") is None:
            return [Flaw("package-missing", "a command with targets needs a package that is not installed: asyncssh",
                         "Install it with: pip install 'batchwright[ssh]'")]  # fmt: skip
        return find_there(command, self._environ)

    async def launch(self, request: CommandRequest, launch: Launch) -> Applied | Rejected | Unknown:
        if launch.on is None or launch.on.access is None:
            name = launch.on.name if launch.on else "its server"
            return Rejected(Fault(FaultClass.NOT_FOUND, f"{name} cannot be reached over SSH"))
        try:
            secrets = await revealed(request.env, self._reveal)
        except SecretMissing as error:
            return Rejected(Fault(FaultClass.INVALID, error.message, error.code, error.hint))
        from batchwright import ssh  # needs a package that only commands with targets need

        name = launch.on.name
        async with AsyncExitStack() as hops:
            try:
                connection = await ssh.connect(launch.on.access, hops, CONNECT_SECONDS)
                left = await _swept(connection, launch.mark, "end") if launch.again else ""
            except ssh.Unreachable as error:
                wait = FaultClass.TRANSIENT if not error.lasting else error.fault.kind  # its first boot may go on
                return Rejected(replace(error.fault, kind=wait))
            except ssh.LOST as error:
                return Rejected(Fault(FaultClass.TRANSIENT, f"the connection to {name} was lost: {ssh.words(error)}"))
            if left:
                return Rejected(Fault(FaultClass.BUSY, f"an earlier start cannot be ended on {name}: process {left}"))
            try:
                return await _run(connection, request, launch, secrets)
            except ssh.LOST as error:
                return Unknown(f"the connection to {name} was lost: {ssh.words(error)}")

    async def left_over(self, launch: Launch) -> str:
        if launch.on is None or launch.on.access is None:
            return ""
        from batchwright import ssh

        async with AsyncExitStack() as hops:
            connection = await ssh.connect(launch.on.access, hops, CONNECT_SECONDS)
            left = await _swept(connection, launch.mark, "look")
        return f"it still runs on {launch.on.name} as process {left}" if left else ""


async def _run(
    connection: Any, request: CommandRequest, launch: Launch, secrets: Mapping[str, str]
) -> Applied | Rejected | Unknown:
    assert launch.on is not None
    plain = {name: value for name, value in request.env.items() if isinstance(value, str)}
    environ = {**plain, **secrets, RUN: launch.run, STEP: launch.step, MARK: launch.mark}
    text = script(request.undo if launch.undo else request.run, environ, request.directory)
    output = Output(launch.tell, secrets.values())
    try:
        async with asyncio.timeout(launch.seconds):
            process = await connection.create_process("exec sh", encoding=None)
            process.stdin.write(text.encode())
            process.stdin.write_eof()
            while data := await process.stdout.read(64 * 1024):
                output.hear(data)
            await process.wait_closed()
    except TimeoutError:
        await _swept(connection, launch.mark, "end")
        output.close()
        return Unknown(f"{request.name} did not end within {launch.seconds:g} s and was ended")
    except asyncio.CancelledError:
        await _swept(connection, launch.mark, "end")
        raise
    output.close()
    code = process.returncode  # None when the connection was lost, negative for a signal
    if code is None:
        return Unknown(f"the connection to {launch.on.name} was lost")
    return outcome_of(request.name, code, output)


def script(words: tuple[str, ...], environ: Mapping[str, str], directory: str) -> str:
    """What the server's shell is given on its input: it becomes the program, which has no input itself."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environ.items()]
    if directory:
        lines.insert(0, f"cd -- {shlex.quote(directory)} 2>&1 || exit 1")
    return "\n".join([*lines, f"exec {shlex.join(words)} </dev/null 2>&1", ""])


async def _swept(connection: Any, mark: str, verb: str) -> str:
    """The processes that are left of an earlier start, after they were ended if that is the verb."""
    text = f"mark={shlex.quote(f'{MARK}={mark}')}\nverb={verb}\n{SWEEP}"
    done = await connection.run("exec sh", input=text, timeout=SWEEP_SECONDS)
    return " ".join(str(done.stdout).split())
