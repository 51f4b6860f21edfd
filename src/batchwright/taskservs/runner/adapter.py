"""The runner port over SSH: pyinfra in child processes decides on changes, asyncssh talks to servers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from weakref import WeakValueDictionary

from msgspec import Struct

from batchwright.errors import CatalogueInvalid, ServerUnreachable
from batchwright.model.call_outcome import Applied, CheckResult, Rejected, Unknown
from batchwright.model.clock import Clock
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.taskserv import Taskserv
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.redaction import Redactor
from batchwright.secret_resolver import Reveal
from batchwright.ssh_client import Unreachable
from batchwright.taskservs.base import NO_JOB, Target, TaskservCall
from batchwright.taskservs.catalogue import digest_of, read_entry
from batchwright.taskservs.runner import shell_snippets
from batchwright.taskservs.runner.call_executor import PreparedServer, ServerExecutor
from batchwright.taskservs.runner.checks import run_checks
from batchwright.taskservs.runner.child_process import ChildDied, ChildProcess
from batchwright.taskservs.runner.child_protocol import ChildJob, Done, Verb
from batchwright.taskservs.runner.command_relay import CommandRelay
from batchwright.taskservs.runner.fork_server import ForkServer, NotBegun
from batchwright.taskservs.runner.outcomes import failed
from batchwright.taskservs.runner.packed_artifacts import PackedSources
from batchwright.taskservs.runner.server_readiness import FirstScript, ready, ready_with

FORKS_MAX = 100  # at a time; each takes some 7 MiB
LOOK_SECONDS = 20.0  # for a server to become ready when it is only looked at


class Installable(Struct, frozen=True):
    """A catalogue entry and the folder of its deploy.py."""

    entry: Taskserv
    folder: Path


class PyinfraRunner:
    """The runner of a process, for all providers and runs. It works on each server with one call at a time."""

    def __init__(
        self, catalogue: Mapping[str, Installable], reveal: Reveal, clock: Clock, server: ForkServer | None = None
    ) -> None:
        self._catalogue, self._reveal, self._clock = dict(catalogue), reveal, clock
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._server = server or ForkServer()
        self._forks = asyncio.Semaphore(FORKS_MAX)
        self._packed = PackedSources()

    async def install(
        self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB
    ) -> Applied | Rejected | Unknown:
        """Install, start and check."""
        return await self._apply(Verb.INSTALL, request, target, job)

    async def remove(
        self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB
    ) -> Applied | Rejected | Unknown:
        """Remove the task service from the server."""
        return await self._apply(Verb.REMOVE, request, target, job)

    async def _apply(
        self, verb: Verb, request: TaskservRequest, target: Target, job: TaskservCall
    ) -> Applied | Rejected | Unknown:
        known = self._catalogue.get(request.entry_name)
        if known is None:
            message = f"the catalogue has no task service {request.entry_name}"
            return Rejected(Fault(FaultClass.INVALID, message, hint="See: batchwright taskservs"))
        if target.access is None:
            return Rejected(Fault(FaultClass.NOT_FOUND, _unreachable(target)))
        if verb is Verb.INSTALL and request.digest:
            planned = await asyncio.to_thread(_as_planned, request, known)
            if isinstance(planned, Rejected):
                return planned
            known = self._catalogue[request.entry_name] = planned
        limits = known.entry.timeouts
        seconds = min(job.seconds, limits.remove if verb is Verb.REMOVE else limits.install)
        visit = ServerExecutor(known.entry, request, target, job, self._reveal, self._clock)
        if verb is Verb.INSTALL:
            visit.sources = await self._packed.of(request, known.entry, job.folder)
        self._server.load()  # while the server becomes ready
        lock = self._locks.setdefault((target.provider, target.ref), asyncio.Lock())
        if lock.locked():
            job.tell("waiting for another task on this server")
        async with lock:
            return await visit.apply(verb, seconds, lambda server: self._deploy(verb, known, visit, server))

    async def _deploy(self, verb: Verb, known: Installable, visit: ServerExecutor, server: PreparedServer) -> Done:
        """Run the deploy in a fork of its own."""
        request = visit.request
        commands = CommandRelay(visit.access, server.connection, server.stack)
        job = ChildJob(request.name, request.version, str(known.folder), verb, server.host)
        async with self._forks:
            return await ChildProcess(self._server, commands, visit.tell, visit.shown).run(job)

    # -- looking ------------------------------------------------------------------------------------------------

    async def installed(self, target: Target) -> tuple[str, ...]:
        """What is recorded on the server as installed, and what its probes find without a record. Raises
        ServerUnreachable.
        """
        probes = {name: known.entry.present for name, known in self._catalogue.items() if known.entry.present}
        if target.access is None:
            raise ServerUnreachable(_unreachable(target))
        try:
            script = FirstScript(shell_snippets.list_installed(probes), LOOK_SECONDS)
            async with ready_with(script, target.access, self._clock, NO_JOB.tell, LOOK_SECONDS) as (_, ran):
                pass
        except Unreachable as error:
            raise _asked_in_vain(target, error) from error
        if ran.code != 0:
            raise ServerUnreachable(f"{target.name} cannot find out what is installed: {ran.tail}")
        return tuple(sorted(set(ran.output.split())))

    async def preview(self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB) -> tuple[str, ...]:
        """The operations that would change something. Raises ServerUnreachable, SecretMissing."""
        visit, known = self._visit(request, target, job)
        self._server.load()
        visit.sources = await self._packed.of(request, known.entry, job.folder)
        try:
            filled = await visit.filled()
            async with asyncio.timeout(job.seconds), contextlib.AsyncExitStack() as stack:
                looked = ready(visit.access, self._clock, visit.tell, LOOK_SECONDS)
                connection = await stack.enter_async_context(looked)
                server = PreparedServer(visit.as_host(filled, {}, ""), connection, stack)
                done = await self._deploy(Verb.PREVIEW, known, visit, server)
        except Unreachable as error:
            raise _asked_in_vain(target, error) from error
        except (ChildDied, NotBegun, TimeoutError) as error:
            why = Redactor(filled.secrets).shown(str(error) or "no answer in time")
            raise ServerUnreachable(f"{target.name} cannot find out what would change: {why}") from error
        if not done.ok:
            raise ServerUnreachable(failed(request.name, done, Redactor(filled.secrets)).fault.message)
        return tuple(map(Redactor(filled.secrets).shown, done.changes))

    async def check(
        self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB
    ) -> tuple[CheckResult, ...]:
        """Run its checks now, once. Raises ServerUnreachable, SecretMissing."""
        visit, known = self._visit(request, target, job)
        filled = await visit.filled()
        try:
            async with ready(visit.access, self._clock, visit.tell, LOOK_SECONDS) as connection:
                redact = Redactor(filled.secrets)
                return await run_checks(connection, known.entry.check, visit.surroundings(filled), redact)
        except Unreachable as error:
            raise _asked_in_vain(target, error) from error

    def _visit(self, request: TaskservRequest, target: Target, job: TaskservCall) -> tuple[ServerExecutor, Installable]:
        known = self._catalogue.get(request.entry_name)
        if known is None:
            raise ServerUnreachable(f"the catalogue has no task service {request.entry_name}")
        if target.access is None:
            raise ServerUnreachable(_unreachable(target))
        return ServerExecutor(known.entry, request, target, job, self._reveal, self._clock), known


def _as_planned(request: TaskservRequest, known: Installable) -> Installable | Rejected:
    """The entry on disk, if it is still the planned one: a run applies its plan, whatever has changed since."""
    try:
        entry = known.entry if digest_of(known.folder) == known.entry.digest else read_entry(known.folder)
    except (OSError, ValueError, CatalogueInvalid) as error:
        return _changed(request, f": {error}")
    return Installable(entry, known.folder) if entry.digest == request.digest else _changed(request)


def _changed(request: TaskservRequest, why: str = "") -> Rejected:
    message = f"the catalogue entry {request.entry_name} has changed since the plan{why}"
    hint = "Plan and run again; or restore the entry and continue with: batchwright resume RUN"
    return Rejected(Fault(FaultClass.PERMANENT, message, "entry-changed", hint))


def _unreachable(target: Target) -> str:
    return f"the server {target.name} does not exist or cannot be reached over SSH"


def _asked_in_vain(target: Target, error: Unreachable) -> ServerUnreachable:
    return ServerUnreachable(f"{target.name} cannot be reached: {error.fault.message}", hint=error.fault.hint)
