"""Executes one call on one server, from preparing it to its marker. If interrupted, it ends what it started there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from batchwright.errors import SecretMissing, VariableInvalid
from batchwright.model.call_outcome import Applied, CheckResult, Rejected, Unknown
from batchwright.model.clock import Clock
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.scalar import PlainValue
from batchwright.model.secret_reference import SecretReference
from batchwright.model.taskserv import Moment, Taskserv
from batchwright.operations.taskserv_batch import TaskservRequest, read_value
from batchwright.redaction import Redactor
from batchwright.secret_resolver import Reveal
from batchwright.ssh_client import Unreachable
from batchwright.taskservs.base import Target, TaskservCall
from batchwright.taskservs.package_locks import LOCK_SECONDS
from batchwright.taskservs.runner import shell_snippets
from batchwright.taskservs.runner.checks import CheckScript
from batchwright.taskservs.runner.child_process import ChildDied
from batchwright.taskservs.runner.child_protocol import Done, Host, HostSource, Member, Verb
from batchwright.taskservs.runner.fork_server import NotBegun
from batchwright.taskservs.runner.outcomes import failed, tell_changes, unhealthy, unsupported
from batchwright.taskservs.runner.server_readiness import FirstScript, ready, ready_with
from batchwright.taskservs.runner.ssh_connection import ScriptResult, SshConnection, connected
from batchwright.taskservs.runner.variables import Filled, environment, fill

PREPARE_SECONDS = 300.0 + LOCK_SECONDS  # packages that were left half-way may take their time
SCRIPT_SECONDS = 30.0
LEAVE_SECONDS = 30.0  # for a first server to be reached by who leaves it
BUSY_SECONDS = 5.0  # between two looks whether somebody else still installs packages
LAST_SECONDS = 1.0  # of the time limit, left to say why a server did not become ready
END_SECONDS = 12.0  # for ending on the server what was broken off; the engine gives 15


class PreparedServer(Struct, frozen=True):
    """A server that is ready for a deploy, and the connection to it. `stack` closes what the deploy opens."""

    host: Host
    connection: SshConnection
    stack: contextlib.AsyncExitStack


Run = Callable[[PreparedServer], Awaitable[Done]]


class ServerExecutor:
    """One call."""

    def __init__(
        self,
        entry: Taskserv,
        request: TaskservRequest,
        target: Target,
        job: TaskservCall,
        reveal: Reveal,
        clock: Clock,
    ) -> None:
        self.entry, self.request, self.target, self.job = entry, request, target, job
        self.host: Host | None = None
        self.sources: dict[str, HostSource] = {}
        self.token = job.token or f"{request.name}@{target.ref}"
        self._reveal, self._clock = reveal, clock
        self._redact = Redactor(())
        self._touched = False
        self._said = ""
        assert target.access is not None
        self.access = target.access

    def tell(self, line: str) -> None:
        """Pass on a line, with secrets removed."""
        self._said = self.shown(line)
        self.job.tell(self._said)

    def shown(self, text: str) -> str:
        """A text without this call's secrets and without control characters."""
        return self._redact.shown(text)

    # -- what it consists of ------------------------------------------------------------------------------------

    async def filled(self) -> Filled:
        """The values of the variables. Raises SecretMissing, VariableInvalid."""
        filled = await fill(self.request, self.target, self._reveal)
        self._redact = Redactor(filled.secrets)
        return replace(filled, values={name: self._examined(name, value) for name, value in filled.values.items()})

    def _examined(self, name: str, value: PlainValue) -> PlainValue:
        """A secret is only known now, and so is what a reference stands for. Raises VariableInvalid."""
        variable, given = self.entry.variable(name), self.request.variables.get(name)
        if variable is None:
            return value
        if isinstance(given, SecretReference):
            if wanted := variable.revealed(str(value)):
                message = f'the variable "{name}" of "{self.entry.name}" is {wanted}'
                raise VariableInvalid(message, hint="Correct what its secret is.")
            return value
        return read_value(self.entry, name, given if given is not None else value, value)

    def surroundings(self, filled: Filled) -> dict[str, str]:
        """The environment of checks."""
        return environment(filled.values, self.request, self.target, self.member)

    @property
    def member(self) -> Member | None:
        """The server's place in its cluster."""
        cluster = self.request.cluster
        if cluster is None:
            return None
        return Member(cluster.number, cluster.size, (self.job.leader or self.target).address)

    def as_host(self, filled: Filled, outputs: dict[str, str], temp: str) -> Host:
        """The server as the child process gets it."""
        self.host = Host(
            name=self.target.name,
            address=self.target.address,
            token=self.token,
            variant=self.request.variant,
            variables=filled.values,
            outputs=outputs,
            sources=self.sources,
            secrets=tuple(key for key, one in self.request.variables.items() if isinstance(one, SecretReference)),
            cluster=self.member,
            temp=temp,
            sudo=self.access.user != "root",
        )
        return self.host

    # -- install and remove -------------------------------------------------------------------------------------

    async def apply(self, verb: Verb, seconds: float, run: Run) -> Applied | Rejected | Unknown:
        """Install or remove. If interrupted, by the time limit or from outside, it is stopped on the server too."""
        try:
            async with asyncio.timeout(seconds):
                return await self._apply(verb, seconds, run)
        except TimeoutError:
            if not self._touched:
                return Rejected(Fault(FaultClass.TIMEOUT, f"the server did not become ready within {seconds:g} s"))
            left = await self._end()
            if left is not None:
                return Unknown(f"it took over {seconds:g} s and may still be running: {left}")
            last = f"; its last output was: {self._said}" if self._said else ""
            message = f"it took over {seconds:g} s and was stopped, on the server too{last}"
            return Rejected(Fault(FaultClass.TIMEOUT, message))
        except asyncio.CancelledError:
            await self._end()
            raise
        except (SecretMissing, VariableInvalid) as error:
            return Rejected(Fault(FaultClass.PERMANENT, error.message, error.code, error.hint))

    async def _apply(self, verb: Verb, seconds: float, run: Run) -> Applied | Rejected | Unknown:
        filled = await self.filled()
        async with contextlib.AsyncExitStack() as stack:
            try:
                first = FirstScript(self._preparation, PREPARE_SECONDS, self._sent)
                ready_now = ready_with(first, self.access, self._clock, self.tell, seconds - LAST_SECONDS)
                connection, ran = await stack.enter_async_context(ready_now)
                prepared = await self._prepare(connection, ran)
                outputs = await (self._outputs(filled) if verb is Verb.INSTALL else self._outputs_at_leave(filled))
            except Unreachable as error:
                return Rejected(error.fault)
            if isinstance(prepared, Rejected) or isinstance(outputs, Rejected):
                return prepared if isinstance(prepared, Rejected) else outputs  # type: ignore[return-value]
            private = [text for key, text in outputs.items() if self.entry.outputs[key].secret]
            self._redact = Redactor((*filled.secrets, *private))
            server = PreparedServer(self.as_host(filled, outputs, prepared), connection, stack)
            try:
                done = await run(server)
                if not done.ok:
                    await self._remove_folder()
                    return failed(self.request.name, done, self._redact)
                with contextlib.suppress(Unreachable):  # the deploy may have restarted the server or its network
                    return await self._conclude(connection, verb, filled, done)
                again = await stack.enter_async_context(ready(self.access, self._clock, self.tell, seconds))
                return await self._conclude(again, verb, filled, done)
            except NotBegun as error:
                return Rejected(Fault(FaultClass.TRANSIENT, str(error)))
            except ChildDied as error:
                return Unknown(self.shown(str(error)))
            except Unreachable as error:
                return Unknown(error.fault.message)

    def _sent(self, sent: bool) -> None:
        self._touched = sent

    @property
    def _preparation(self) -> str:
        return shell_snippets.prepare(self.token, private=self.access.user != "root")

    async def _prepare(self, connection: SshConnection, ran: ScriptResult) -> str | Rejected:
        """Stop what an earlier attempt left running, and repair it. Returns the private folder there, "" for root.
        `ran` is how the first try ended.

        It waits until no other process holds a package lock. That is reported here at once; each later use waits too.
        """
        until, told = self._clock.now() + LOCK_SECONDS, ""
        while True:
            if ran.code != 0:
                message = f"the server could not be prepared (exit code {ran.code}): {self.shown(ran.tail)}"
                return Rejected(Fault(FaultClass.TRANSIENT, message, "prepare-failed"))
            found = {line.split()[0]: line.split()[1:] for line in ran.output.splitlines() if line.strip()}
            ended = next((f"{word} {' '.join(found[word])}" for word in ("left", "ended") if word in found), "ended 0")
            if ended != "ended 0":
                self.tell(f"processes left by an earlier attempt: {ended}")
            if "held" not in found:
                break
            pid, name, file = (*found["held"], "", "", "")[:3]
            who = f"{name} (process {pid}), which holds {file}"
            if self._clock.now() >= until:
                message = f"the server's packages have been locked for over {LOCK_SECONDS} s, by {who}"
                hint = "Check what it does there; Batchwright does not stop it."
                return Rejected(Fault(FaultClass.TRANSIENT, message, "packages-locked", hint))
            if who != told:
                told = who
                self.tell(f"waiting for {who}: another process is changing packages")
            await self._clock.sleep(BUSY_SECONDS)
            ran = await connection.script(self._preparation, PREPARE_SECONDS)
        os, release = (*found.get("platform", ()), "", "")[:2]
        return unsupported(self.entry, os, release) or next(iter(found.get("temp", ())), "")

    async def _outputs_at_leave(self, filled: Filled) -> dict[str, str]:
        """The outputs that it needs to leave its cluster; empty if the first server cannot tell them, since it must
        leave anyway.
        """
        try:
            told = await self._outputs(filled, Moment.REMOVE, LEAVE_SECONDS)
        except Unreachable as error:
            told = Rejected(error.fault)
        if isinstance(told, Rejected):
            self.tell(f"leaving the cluster without data from the first server: {told.fault.message}")
            return {}
        return told

    async def _outputs(
        self, filled: Filled, when: Moment = Moment.INSTALL, seconds: float | None = None
    ) -> dict[str, str] | Rejected:
        """The outputs of the first server of its cluster. Raises Unreachable."""
        leader, outputs = self.job.leader, {}
        wanted = {name: output for name, output in self.entry.outputs.items() if output.when is when}
        if leader is None or not wanted:
            return {}
        if leader.access is None:
            return Rejected(Fault(FaultClass.NOT_FOUND, f"{leader.name} does not exist or cannot be reached over SSH"))
        around = environment(filled.values, self.request, leader, self.member)
        async with ready(leader.access, self._clock, self.tell, seconds or self.job.seconds) as connection:
            for name, output in wanted.items():
                text = shell_snippets.with_environment(around, shell_snippets.told(output.run))
                ran = await connection.script(text, SCRIPT_SECONDS)
                if ran.code != 0:
                    message = f"{leader.name} did not return {name} (exit code {ran.code}): {self.shown(ran.tail)}"
                    return Rejected(Fault(FaultClass.TRANSIENT, message, "output-failed"))
                if ran.left_out:
                    message = f"{leader.name} returned {ran.left_out:,} bytes too many as {name}"
                    return Rejected(Fault(FaultClass.PERMANENT, message, "output-failed"))
                outputs[name] = ran.output.strip()
        return outputs

    async def _conclude(self, connection: SshConnection, verb: Verb, filled: Filled, done: Done) -> Applied | Rejected:
        """Run the checks and write the marker. Raises Unreachable."""
        assert self.host is not None
        before = shell_snippets.remove_folder(self.host.temp) if self.host.temp else ""
        noted, checks = shell_snippets.remove_marker(self.request.name), self.entry.check
        if verb is Verb.INSTALL:
            at = datetime.fromtimestamp(self._clock.now(), UTC).isoformat(timespec="seconds")
            noted = shell_snippets.write_marker(self.request.name, self.request.version, self.token, at)
        else:
            checks = ()
        together = CheckScript(connection, checks, self.surroundings(filled), before, noted)
        ran = await together.until_noted(self._redact, self._clock, self.tell)
        if isinstance(ran, CheckResult):
            return unhealthy(self.request.name, ran)
        if ran.code != 0:
            return Rejected(Fault(FaultClass.TRANSIENT, f"the marker could not be written: {self.shown(ran.tail)}"))
        tell_changes(done, self.tell)
        return Applied(bool(done.changes) or ran.output.strip() == "gone")

    async def _remove_folder(self) -> None:
        """Remove what was uploaded. What cannot be removed now, the next attempt removes."""
        if self.host is not None and self.host.temp:
            with contextlib.suppress(Unreachable):
                async with connected(self.access) as connection:
                    await connection.script(shell_snippets.remove_folder(self.host.temp), SCRIPT_SECONDS)

    async def _end(self) -> str | None:
        """Stop on the server what this call runs there. None if that is certain, otherwise why it is not."""
        try:
            async with asyncio.timeout(END_SECONDS):
                if not self._touched:
                    return None
                async with connected(self.access) as connection:
                    ran = await connection.script(shell_snippets.end_marked(self.token, looks=2), END_SECONDS)
                    if self.host is not None and self.host.temp:
                        await connection.script(shell_snippets.remove_folder(self.host.temp), END_SECONDS)
                    return None if ran.code == 0 else ran.tail
        except TimeoutError:
            return "no answer from the server"
        except Unreachable as error:
            return error.fault.message
