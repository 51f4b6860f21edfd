"""Runs programs on servers over SSH. Secrets go over the connection's input, never onto a command line."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from batchwright.commands import output_values
from batchwright.commands.base import MARK, OUTPUTS, RUN, SERVERS, STEP, TRACEPARENT, Launch, launched, server_row
from batchwright.commands.clean_output import CleanOutput
from batchwright.commands.local import held_open, not_started, outcome_of, refused, revealed, said
from batchwright.commands.preflight import find_there
from batchwright.login_output import BLANKS, MarkedOutput
from batchwright.model.call_outcome import Applied, Rejected, Unknown
from batchwright.model.clock import Clock
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.trace_ids import traceparent
from batchwright.operations.command import Command, CommandRequest
from batchwright.printable import printable
from batchwright.redaction import Redactor
from batchwright.secret_resolver import Reveal

if TYPE_CHECKING:
    from batchwright.ssh_client import CommandOutput

CONNECT_SECONDS = 30.0
SWEEP_SECONDS = 25.0  # for finding and ending the processes of an earlier start

# Finds processes with the mark in their environment; `end` also ends them, SIGTERM first. Prints those that are left.
# It needs only a shell, grep and tr; GNU, BSD and BusyBox grep have -z.
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


class SshCommands:
    """The launcher for servers that are reached over SSH. `reveal` looks up a secret when it is used."""

    def __init__(self, environ: Mapping[str, str], reveal: Reveal, clock: Clock) -> None:
        self._environ = environ
        self._reveal = reveal
        self._clock = clock

    async def resolve(self, command: Command, _folder: str = "") -> CommandRequest | list[Diagnostic]:
        if find_spec("asyncssh") is None:
            message = "a command with targets needs a package that is not installed: asyncssh"
            hint = "Install it with: pip install 'batchwright[ssh]'"
            return [Diagnostic("package-missing", message, hint, field="targets")]
        return find_there(command, self._environ)

    async def launch(self, request: CommandRequest, launch: Launch) -> Applied | Rejected | Unknown:
        if launch.on is None or launch.on.access is None:
            name = launch.on.name if launch.on else "its server"
            return Rejected(Fault(FaultClass.NOT_FOUND, f"{name} cannot be reached over SSH"))
        return await launched(request, launch, self._clock, self._launch)

    async def _launch(
        self, request: CommandRequest, launch: Launch, words: tuple[str, ...]
    ) -> Applied | Rejected | Unknown:
        from batchwright import ssh_client

        assert launch.on is not None
        assert launch.on.access is not None
        name = launch.on.name
        async with AsyncExitStack() as hops:
            try:
                secrets = await revealed(request.env, self._reveal)
                output = CleanOutput(launch.tell, secrets.values())
                plain = {key: value for key, value in request.env.items() if isinstance(value, str)}
                plain = {TRACEPARENT: traceparent(launch.run, launch.step, undo=launch.undo), **plain}
                environ = {**plain, **secrets, RUN: launch.run, STEP: launch.step, MARK: launch.mark}
                if refusal := refused(request, words, environ):
                    return refusal
                connection = await ssh_client.connect(launch.on.access, hops, CONNECT_SECONDS)
                left = await _swept(connection, launch.mark, "end") if launch.again else ""
                if left:
                    return Rejected(
                        Fault(FaultClass.BUSY, f"an earlier start cannot be stopped on {name}: process {left}")
                    )
                process = await _shell(connection)
                files = await _files(connection, launch)
                if isinstance(files, Rejected):
                    return files
                environ |= {SERVERS: f"{files}/servers.json"} | ({} if launch.undo else {OUTPUTS: f"{files}/outputs"})
            except ssh_client.Unreachable as error:
                wait = FaultClass.TRANSIENT if not error.lasting else error.fault.kind  # it may still be booting
                return Rejected(replace(error.fault, kind=wait))
            except ssh_client.LOST as error:
                return Rejected(
                    Fault(FaultClass.TRANSIENT, f"the connection to {name} was lost: {ssh_client.words(error)}")
                )
            except Exception as error:
                return not_started(request.name, error)
            try:
                text = script(words, environ, request.directory)
                outcome = await _run(connection, process, text, request, launch, output)
                if not isinstance(outcome, Applied):
                    with suppress(*ssh_client.LOST, ssh_client.Unreachable):  # the next start removes what is left
                        await _taken(connection, files)
                    return outcome
                given = await _taken(connection, files)
            except ssh_client.LOST as error:
                return Unknown(f"the connection to {name} was lost: {ssh_client.words(error)}")
            except ssh_client.Unreachable as error:
                return Unknown(f"what {request.name} gave on {name} could not be read: {error.fault.message}")
            if launch.undo:
                return outcome
            return output_values.with_outputs(
                outcome, request.name, given, request.outputs, Redactor(secrets.values()), launch.tell
            )

    async def left_over(self, launch: Launch) -> str:
        if launch.on is None or launch.on.access is None:
            return ""
        from batchwright import ssh_client

        async with AsyncExitStack() as hops:
            connection = await ssh_client.connect(launch.on.access, hops, CONNECT_SECONDS)
            left = await _swept(connection, launch.mark, "look")
        return f"still running on {launch.on.name} as process {left}" if left else ""


async def _files(connection: Any, launch: Launch) -> str | Rejected:
    """A private folder on the server for the files that the program is given; what earlier starts left is removed."""
    rows = msgspec.json.encode([server_row(replace(server, access=None)) for server in launch.servers]).decode()
    place = f"/tmp/batchwright-{launch.mark}"  # noqa: S108 - mktemp makes it, for its user only
    text = (
        f'rm -rf {place}.*\numask 077\nfolder=$(mktemp -d {place}.XXXXXX) || exit 1\n: > "$folder/outputs"\n'
        f'printf %s {shlex.quote(rows)} > "$folder/servers.json" && echo "$folder"\n'
    )
    answer = await _asked(connection, text)
    if answer.code == 0:
        return answer.output.strip()
    assert launch.on is not None
    said = printable(answer.output.strip()) or f"exit code {answer.code}"
    return Rejected(Fault(FaultClass.TRANSIENT, f"no file can be written into /tmp of {launch.on.name}: {said}"))


async def _taken(connection: Any, files: str) -> bytes:
    """What the program wrote as its outputs, one byte more than is allowed at most. The folder is removed."""
    place = shlex.quote(files)
    read = f"[ -f {place}/outputs ] && head -c {output_values.BYTES_MAX + 1} {place}/outputs | od -An -v -tx1"
    answer = await _asked(connection, f"{read}\nrm -rf {place}\n")
    return bytes.fromhex("".join(answer.output.split()))


async def _asked(connection: Any, text: str) -> CommandOutput:
    """What shell text on the server printed. Raises what LOST names, and Unreachable."""
    from batchwright import ssh_client

    async with asyncio.timeout(SWEEP_SECONDS):
        answer = await ssh_client.ask(connection, text)
    if not answer.begun:
        user, host = connection.get_extra_info("username"), connection.get_extra_info("host")
        raise ssh_client.interfering(user, host, answer.login, f"ended with {answer.code}")
    return answer


async def _shell(connection: Any) -> Any:
    """A shell that waits for its script: nothing is run before it has received all of it."""
    async with asyncio.timeout(CONNECT_SECONDS):
        return await connection.create_process("exec sh", encoding=None)


async def _run(
    connection: Any, process: Any, text: str, request: CommandRequest, launch: Launch, output: CleanOutput
) -> Applied | Rejected | Unknown:
    from batchwright import ssh_client

    assert launch.on is not None
    marked, around = MarkedOutput(), MarkedOutput()
    try:
        async with asyncio.timeout(launch.seconds):
            process.stdin.write(f"{BLANKS}{marked.begin()}\n{text}".encode())
            process.stdin.write_eof()
            ended = await ssh_client.hear(process, lambda data: output.hear(marked.hear(data)), around.hear)
    except TimeoutError:
        await _swept(connection, launch.mark, "end")
        output.close()
        return Unknown(f"{request.name} did not end within {launch.seconds:.3g} s and was stopped{said(output)}")
    except asyncio.CancelledError:
        await _swept(connection, launch.mark, "end")
        raise
    output.close()
    if not ended:
        launch.tell(held_open(request.name, await _holders(connection, launch.mark)))
        process.close()
    code = process.returncode  # None if the connection was lost, negative for a signal
    if code is None:
        return Unknown(f"the connection to {launch.on.name} was lost{said(output)}")
    if not marked.begun:
        user = connection.get_extra_info("username")
        return Rejected(
            ssh_client.interfering(user, launch.on.name, marked.login() or around.login(), f"ended with {code}").fault
        )
    return outcome_of(request.name, code, output, {} if launch.undo else request.answers)


def script(words: tuple[str, ...], environ: Mapping[str, str], directory: str) -> str:
    """The script that the server's shell reads from its input. The shell becomes the program, which has no input.

    The braces make the shell read the whole script before it runs any of it, so that a partial command line never runs.
    """
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environ.items()]
    if directory:
        lines.insert(0, f"cd -- {shlex.quote(directory)} 2>&1 || exit 1")
    return "\n".join(["{", *lines, f"exec {shlex.join(words)} </dev/null 2>&1", "}", ""])


async def _holders(connection: Any, mark: str) -> str:
    """The processes, with names, that a program left running."""
    from batchwright import ssh_client

    try:
        pids = (await _swept(connection, mark, "look")).split()
        looks = "".join(f"echo {pid} $(cat /proc/{pid}/comm)\n" for pid in pids[:5])
        done = await connection.run("exec sh 2>/dev/null", input=looks, timeout=SWEEP_SECONDS)
    except ssh_client.LOST:
        return "a process"
    rows = [line.split(maxsplit=1) for line in str(done.stdout).splitlines()]
    return ", ".join(f"process {row[0]} ({printable(row[-1])})" for row in rows if len(row) == 2) or "a process"


async def _swept(connection: Any, mark: str, verb: str) -> str:
    """The processes that are left of an earlier start; with the verb `end` they are ended first."""
    text = f"mark={shlex.quote(f'{MARK}={mark}')}\nverb={verb}\n{SWEEP}"
    return " ".join((await _asked(connection, text)).output.split())
