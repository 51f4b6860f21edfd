"""The servers of one state folder: created, looked at, destroyed. Blocks; the adapter calls it from threads."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from batchwright import durable_files
from batchwright.errors import NotAllowed, ProviderUnavailable
from batchwright.model.call_outcome import Created, Going, Gone, Observed, Rejected, ServerState, Unknown
from batchwright.model.clock import Clock
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.ids import Token, base32
from batchwright.model.ssh_access import SshAccess
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.generated_ssh_keys import key_in, login_key, run_key_file
from batchwright.providers.local import (
    addresses,
    cgroups,
    host_limits,
    hosts_file,
    network,
    records,
    sandbox,
    server_changes,
)
from batchwright.providers.local.boot_status import SCRIPT_UNIT, SSH_UNIT
from batchwright.providers.local.host_support import HostSupport
from batchwright.providers.local.records import Intent
from batchwright.providers.local.sshd_answers import SshdAnswers
from batchwright.providers.server_change import refuse_gone

PORTS = {records.SYSTEM: 22, records.USER: 2222}  # a plain user may not listen below 1024
FAILED = "failed"  # a unit's state, in the words of systemd
_START = "Start it, with its data, with: batchwright local start"


class Look(Struct, frozen=True):
    """What the files and processes show of a server; whether its sshd answers is asked after that."""

    seen: Observed
    port: int = 0  # where to ask, 0 where there is nothing to ask
    pid: int = 0  # of the first process inside


class LocalServers:
    """The folder `<state_dir>/local`."""

    def __init__(self, state_dir: Path, bases: Path, clock: Clock, machine: HostSupport) -> None:
        self._state_dir, self._bases, self._clock, self._machine = state_dir, bases, clock, machine
        self._folder = state_dir / "local"
        self._servers = self._folder / "servers"
        self._sshd = SshdAnswers(clock)

    def open(self) -> None:
        """Make the folder, and clear away what a create left that was killed before its intent was durable.

        Raises ProviderUnavailable, Damaged, OSError.
        """
        durable_files.make_private(self._servers)
        if found := host_limits.unsuitable(self._servers):
            raise ProviderUnavailable(
                f"local cannot store servers in {self._servers}: an overlay cannot be written to {found}",
                hint="Choose a state folder on another file system (ext4, xfs, btrfs or tmpfs) with --state-dir.",
            )
        self.account()
        for folder in self._folders():
            if records.read_intent(folder) is None:
                with contextlib.suppress(FileNotFoundError, durable_files.FolderHeld), durable_files.alone(folder, 0):
                    if records.read_intent(folder) is None:
                        addresses.release(folder)
                        sandbox.remove(folder)
        self._tell_names()  # a killed create may not have told them

    def account(self) -> str:
        """A name that is made with the folder, goes where it goes, and is no other folder's."""
        place = self._folder / "account"
        if not place.exists():
            durable_files.make_private(self._folder)
            with durable_files.alone(self._folder):
                if not place.exists():
                    durable_files.write(place, f"local-{base32(os.urandom(10))}\n".encode())
        return place.read_text().strip()

    def _folders(self) -> Iterator[Path]:
        if self._servers.is_dir():
            yield from (folder for folder in sorted(self._servers.iterdir()) if records.is_ref(folder.name))

    def intents(self) -> list[Intent]:
        """Every server that is to be. Raises Damaged, OSError: an incomplete listing is never given."""
        return [intent for folder in self._folders() if (intent := records.read_intent(folder)) is not None]

    def room_for(self, servers: int) -> list[Diagnostic]:
        """What would not fit if this many more were created."""
        found = host_limits.disk_problems(host_limits.free_mb(self._servers), servers, self._servers)
        if self._machine.mode == records.SYSTEM:
            found += host_limits.inotify_problems(*host_limits.instances(), len(addresses.claimed()), servers)
        return found

    def _tell_names(self, changed: Intent | None = None) -> None:
        """Update the names that servers know of each other: of all, or of those that belong with one.

        A failure in one does not affect the others.
        """
        place = self._folder / "names"
        durable_files.make_private(place)
        with durable_files.alone(place):
            there = [one for one in self.intents() if not (self._servers / one.ref / records.DESTROYING).exists()]
            for one in there:
                if changed is not None and not hosts_file.belong_together(one, changed):
                    continue
                folder = self._servers / one.ref
                pid = sandbox.running(folder, one.ref)
                if pid is None:
                    continue
                try:
                    hosts_file.write(pid, folder / records.TOLD, hosts_file.known_to(one, there))
                except OSError as error:
                    sandbox.note(folder, f"the names of other servers could not be written to /etc/hosts: {error}")

    # -- made ---------------------------------------------------------------------------------------------------

    def create(self, request: ServerRequest, token: Token) -> Created | Rejected | Unknown:
        """Make it, or go on with what an earlier call with this token began."""
        ref = records.ref_of(self.account(), token)
        folder = self._servers / ref
        try:
            with _made_and_held(folder) as holder:
                return self._create(folder, holder, request, token)
        except durable_files.FolderHeld as error:
            return Rejected(Fault(FaultClass.BUSY, str(error)))

    def _create(self, folder: Path, holder: int, request: ServerRequest, token: Token) -> Created | Rejected | Unknown:
        intent = records.read_intent(folder)
        if intent is None:
            try:
                intent = self._intend(folder, request, token)
            except addresses.NoAddress as error:
                sandbox.remove(folder)
                return Rejected(Fault(FaultClass.CAPACITY, str(error)))
        elif intent.request != request:
            return Rejected(Fault(FaultClass.CONFLICT, "the token was used with another request"))
        if (folder / records.DESTROYING).exists():
            return Rejected(Fault(FaultClass.CONFLICT, f"{intent.ref} is being destroyed"))
        if not (folder / records.PROCESS).exists():
            try:
                self._start(folder, intent, holder)
            except (sandbox.NotStarted, network.NoNetwork) as error:
                return self._given_up(folder, intent, FaultClass.PERMANENT, str(error))
            except OSError as error:
                return self._given_up(folder, intent, FaultClass.TRANSIENT, str(error))
        self._tell_names(intent)
        return Created(intent.ref, address=intent.address)

    def _given_up(self, folder: Path, intent: Intent, kind: FaultClass, why: str) -> Rejected | Unknown:
        if not self._clear(folder, intent):
            return Unknown(f"the sandbox could not be started, and could not be removed: {why}")
        return Rejected(Fault(kind, f"the sandbox could not be started: {why}"))

    def _intend(self, folder: Path, request: ServerRequest, token: Token) -> Intent:
        address = addresses.claim(folder, self._range(request), zlib.crc32(folder.name.encode()))
        intent = Intent(
            ref=folder.name,
            run=token.run,
            token=token.value,
            request=request,
            address=address,
            port=PORTS[self._machine.mode],
            mode=self._machine.mode,
            made_at=self._clock.now(),
            environment=token.environment,
        )
        durable_files.write(folder / records.INTENT, records.encode(intent))
        return intent

    def _range(self, request: ServerRequest) -> str:
        own = request.resolved.get("network") == "own"
        return addresses.OWN_NETWORK if own else addresses.loopback_range(os.geteuid())

    def _start(self, folder: Path, intent: Intent, holder: int) -> None:
        base = self._bases / intent.request.resolved["base"]
        if not base.is_dir():
            raise sandbox.NotStarted(f"the base tree {base.name} does not exist")
        if intent.mode != self._machine.mode:
            raise sandbox.NotStarted(f"it was made in mode {intent.mode}, and this is {self._machine.mode}")
        if intent.mode == records.SYSTEM:
            host_limits.raise_instances()
        keys = (login_key(self._state_dir, intent.run, intent.request), *intent.request.ssh_keys)
        sandbox.prepare(folder, intent, keys)
        sandbox.start(folder, intent, base, self._machine.tools, holder)

    def start(self, ref: str) -> None:
        """Start a server that does not run, with its data. Raises NotAllowed, Held, OSError."""
        folder = self._servers / ref
        with durable_files.alone(folder) as holder:
            intent = self._settled(folder)
            if sandbox.running(folder, ref) is not None:
                return
            address = addresses.claim(folder, self._range(intent.request), 0, intent.address)
            if address != intent.address:  # somebody has it by now
                intent = replace(intent, address=address)
                durable_files.write(folder / records.INTENT, records.encode(intent))
            try:
                self._start(folder, intent, holder)
            except (sandbox.NotStarted, network.NoNetwork) as error:
                raise NotAllowed(f"{ref} could not be started: {error}", hint="Its data is kept.") from error
            (folder / records.STOPPED).unlink(missing_ok=True)
        self._tell_names(intent)

    def stop(self, ref: str) -> None:
        """End everything that runs on a server and keep its data. Raises NotAllowed, Held, OSError."""
        folder = self._servers / ref
        with durable_files.alone(folder):
            intent = self._settled(folder)
            (folder / records.STOPPED).touch()
            if not sandbox.stop(folder, intent):
                raise NotAllowed(f"{ref} does not stop", hint="Check its processes.")

    def change(self, ref: str, request: ServerRequest, before: ServerRequest) -> Going | Rejected | None:
        """Give a server another plan or other labels, and start it if it does not run; None once it is done."""
        folder = self._servers / ref
        if not records.is_ref(ref):
            return refuse_gone(ref)
        answer = server_changes.change(folder, cgroups.here(), request, before)
        if answer is None and sandbox.running(folder, ref) is None:
            try:
                self.start(ref)
            except NotAllowed as error:
                return Rejected(Fault(FaultClass.TRANSIENT, error.message, "NOT_STARTED", error.hint))
        return answer

    def _settled(self, folder: Path) -> Intent:
        """The intent of a server that was made and is not being destroyed."""
        intent = records.read_intent(folder)
        made = (folder / records.PROCESS).exists() and not (folder / records.DESTROYING).exists()
        if intent is None or not made:
            raise NotAllowed(f"{folder.name} is not a server that can be started or stopped", hint="It is incomplete.")
        return intent

    # -- looked at ----------------------------------------------------------------------------------------------

    def look(self, ref: str) -> Look:
        """What files and processes show of a server, without connecting to it."""
        folder = self._servers / ref
        intent = records.read_intent(folder) if records.is_ref(ref) else None
        if intent is None:
            return Look(Observed(ref, ServerState.GONE))
        pid = sandbox.running(folder, ref)
        state, fault = self._state(folder, pid)
        request = intent.request
        seen = Observed(
            ref,
            state,
            name=request.name,
            run=intent.run,
            token=intent.token,
            address=intent.address,
            plan=request.plan,
            zone=request.zone,
            image=request.image,
            fault=fault,
            host_keys=_host_keys(folder) if state is ServerState.READY else (),
            labels=dict(request.labels),
        )
        return Look(seen, intent.port, pid) if pid and state is ServerState.READY else Look(seen)

    def _state(self, folder: Path, pid: int | None) -> tuple[ServerState, Fault | None]:
        if (folder / records.DESTROYING).exists():
            return ServerState.STOPPING, None
        if pid is None:
            return self._why_not_running(folder)
        states = sandbox.states(folder)
        if states is None:
            return ServerState.STARTING, None
        if states.get(SCRIPT_UNIT) == FAILED:
            said = "; ".join(sandbox.said(folder)) or "it printed nothing"
            return ServerState.BROKEN, Fault(FaultClass.PERMANENT, f"its user_data failed: {said}", "USER_DATA")
        if states.get(SSH_UNIT) == FAILED:
            return ServerState.BROKEN, Fault(FaultClass.TRANSIENT, "its sshd did not start", "SSHD")
        return ServerState.READY, None

    def _why_not_running(self, folder: Path) -> tuple[ServerState, Fault | None]:
        if (folder / records.STOPPED).exists():
            return ServerState.BROKEN, Fault(FaultClass.TRANSIENT, f"it was stopped. {_START}", "STOPPED")
        if not (folder / records.PROCESS).exists():
            if _is_held(folder):
                return ServerState.STARTING, None
            return ServerState.BROKEN, Fault(FaultClass.TRANSIENT, "its create was interrupted", "INTERRUPTED")
        said = "; ".join(sandbox.tail(folder)) or "nothing"
        return ServerState.BROKEN, Fault(
            FaultClass.TRANSIENT, f"it is no longer running; its last output: {said}. {_START}", "DIED"
        )

    async def answer(self, look: Look) -> Observed:
        """The observed state; ready only if sshd answers."""
        if not look.port:
            return look.seen
        if await self._sshd.answers(look.pid, look.seen.address, look.port):
            return look.seen
        return replace(look.seen, state=ServerState.STARTING)

    def access(self, refs: Sequence[str]) -> dict[str, SshAccess]:
        """How each is reached: the run's key, and the host key that was made for it."""
        found = {}
        for ref in refs:
            folder = self._servers / ref
            intent = records.read_intent(folder) if records.is_ref(ref) else None
            if intent is not None and (folder / records.IDENTITY).exists():
                key = run_key_file(self._state_dir, intent.run)
                found[ref] = SshAccess(intent.address, "root", intent.port, str(key), _host_keys(folder))
        return found

    # -- destroyed ----------------------------------------------------------------------------------------------

    def destroy(self, ref: str) -> Gone | Going | Rejected | Unknown:
        """Remove everything that belongs to the server."""
        folder = self._servers / ref
        if not records.is_ref(ref) or not folder.is_dir():
            return Gone()
        try:
            with durable_files.alone(folder):
                intent = records.read_intent(folder)
                if intent is not None:
                    (folder / records.DESTROYING).touch()
                if not self._clear(folder, intent):
                    return Going("its processes have not ended yet")
            if intent is not None:
                self._tell_names(intent)
            return Gone()
        except durable_files.FolderHeld:
            return Going("another process is working on it")
        except FileNotFoundError:
            return Gone()

    def _clear(self, folder: Path, intent: Intent | None) -> bool:
        """Remove everything of a server; without an intent nothing was ever started."""
        if intent is not None and not sandbox.end(intent):
            return False
        addresses.release(folder)
        sandbox.remove(folder)
        return True


def _host_keys(folder: Path) -> tuple[str, ...]:
    return (key_in(folder / records.IDENTITY).public,)


def _is_held(folder: Path) -> bool:
    """Whether another process is working on a server now."""
    try:
        with durable_files.alone(folder, 0):
            return False
    except durable_files.FolderHeld:
        return True
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _made_and_held(folder: Path) -> Iterator[int]:
    """Create and lock a server's folder; repeat if a cleanup removed the empty folder meanwhile."""
    with contextlib.ExitStack() as stack:
        holder = None
        while holder is None:
            folder.mkdir(mode=0o700, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                holder = stack.enter_context(durable_files.alone(folder))
        yield holder
