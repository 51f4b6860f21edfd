"""SSH to servers in our own event loop, for reading from them, installing and running programs.

Only known keys are trusted, and the `SshAccess` alone says which, and who logs in: no configuration file says more.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack

from msgspec import Struct

from batchwright.library_search import without_compilers
from batchwright.login_key_file import ADD_TO_AGENT, KeyFileUnusable, LoginKeyFile, read_key_file
from batchwright.login_output import KEPT, FramedOutput, MarkedOutput, fit
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.openssh_command import known_hosts
from batchwright.model.public_key import fingerprint
from batchwright.model.ssh_access import SshAccess
from batchwright.ssh_refusals import denied, hung_up, login_fault, not_passed_on, refusal_in

with without_compilers():  # it asks for liboqs, an optional one: Curve25519 and ML-KEM do without
    import asyncssh

KEEPALIVE_SECONDS, KEEPALIVES = 10, 3  # a server that leaves so many of them unanswered is lost
CLOSE_SECONDS = 3
CHUNK = 64 * 1024
SILENCE_SECONDS = 1.0  # after a program's end: something else holds its output open, and may do so for ever
REST_SECONDS = 30.0  # for the rest of the output, if another process keeps writing
RSA = (b"rsa-sha2-512", b"rsa-sha2-256")  # how an RSA key signs; not every server takes both, or says which
LOST = (OSError, asyncssh.Error)  # what a connection raises that breaks
_FAILURES = (*LOST, KeyFileUnusable, ValueError)  # what one raises that is not made

# Offered after those of the known keys: a server that has none of them shows what it has, instead of hanging up.
_OTHER_KINDS = "+ssh-ed25519,ecdsa-sha2-*,rsa-sha2-*"


_ELSEWHERE = (
    "A run's own key is only in the state folder in which the run was started (keys/RUN): carry on there, or copy it. "
    "With [ssh] identity in config.toml, runs use a key that you can share."
)
_KEY_MADE_ELSEWHERE = (
    "It is in the state folder in which the server was created: run its file there once, which records it for everyone."
)
_MISSING = f"Name its file in config.toml: [ssh] identity. Or use an SSH agent. {ADD_TO_AGENT.format('FILE')}"
_METHODS = ("publickey", "keyboard-interactive", "password")  # only the first is used, the others show what is asked


class Unreachable(Exception):
    """No connection. `lasting`: waiting will not help."""

    def __init__(self, fault: Fault, *, lasting: bool) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.lasting = lasting


class _Guest(asyncssh.SSHClient):
    """Hears what a server says and asks for while we log in, and answers no question."""

    def __init__(self) -> None:
        self.banner = ""
        self.asked: list[str] = []
        self.shown = ""  # the fingerprint of a host key that is not the known one
        self.refused = False  # all keys: what is asked for then is asked instead of a key

    def validate_host_public_key(self, _host: str, _addr: str, _port: int, key: asyncssh.SSHKey) -> bool:
        self.shown = key.get_fingerprint()
        return False

    def auth_banner_received(self, msg: str, _lang: str) -> None:
        self.banner = (self.banner + msg)[-KEPT:]

    def public_key_auth_requested(self) -> None:
        self.refused = True

    def kbdint_auth_requested(self) -> None:
        self.asked.append("keyboard-interactive")

    def password_auth_requested(self) -> None:
        self.asked.append("password")


async def connect(access: SshAccess, stack: AsyncExitStack, seconds: float) -> asyncssh.SSHClientConnection:
    """A connection to the server, through its jump hosts; the exit stack closes it.

    `seconds` is the time limit for each hop's connection, and for its login. Raises Unreachable.
    """
    for hop in access.hops():
        if not hop.host_keys:
            message = f"the host key of {hop} is not known, and keys are not trusted on first use"
            raise Unreachable(Fault(FaultClass.AUTH, message, "host-key-unknown", _KEY_MADE_ELSEWHERE), lasting=True)
    connection: asyncssh.SSHClientConnection | None = None
    before: SshAccess | None = None
    for hop in reversed(access.hops()):
        guest = _Guest()
        try:
            async with asyncio.timeout(2 * seconds):
                keys = await _key_pairs(hop, stack) if hop.key else ()
                connection = await _connected(hop, connection, seconds, guest, keys)
        except _FAILURES as error:
            raise _unreachable(hop, error, guest, before) from error
        before = hop
        stack.push_async_callback(_close, connection)
    assert connection is not None
    return connection


async def _connected(
    hop: SshAccess,
    through: asyncssh.SSHClientConnection | None,
    seconds: float,
    guest: _Guest,
    keys: Sequence[asyncssh.SSHKeyPair],
) -> asyncssh.SSHClientConnection:
    return await asyncssh.connect(
        hop.host,
        hop.port,
        tunnel=through or (),
        client_factory=lambda: guest,
        username=hop.user,
        client_keys=keys,
        agent_path=None if hop.key else (),
        known_hosts=known_hosts([hop]).encode(),
        server_host_key_algs=_OTHER_KINDS,
        x509_trusted_certs=None,
        preferred_auth=_METHODS,
        config=None,
        connect_timeout=seconds,
        login_timeout=seconds,
        keepalive_interval=KEEPALIVE_SECONDS,
        keepalive_count_max=KEEPALIVES,
    )


async def agent_keys(stack: AsyncExitStack) -> list[asyncssh.SSHKeyPair]:
    """The keys that the SSH agent holds, without certificates; the exit stack closes its connection.

    Raises KeyFileUnusable if no agent answers.
    """
    try:
        agent = await stack.enter_async_context(await asyncssh.connect_agent())
        return [pair for pair in await agent.get_keys() if not pair.has_cert]
    except (OSError, ValueError) as error:
        hint = "Start one, and make sure that SSH_AUTH_SOCK names its socket."
        raise KeyFileUnusable("no SSH agent answers", hint) from error


def public_line(pair: asyncssh.SSHKeyPair) -> str:
    """Its public key, "ssh-ed25519 AAAA..."."""
    return f"{pair.algorithm.decode()} {base64.b64encode(pair.public_data).decode()}"


async def _key_pairs(hop: SshAccess, stack: AsyncExitStack) -> list[asyncssh.SSHKeyPair]:
    """What the key file of this hop offers. Raises KeyFileUnusable, FileNotFoundError, asyncssh.KeyImportError."""
    file = read_key_file(hop.key)
    return _offered(await _in_agent(hop, file, stack) if file.in_agent else asyncssh.load_keypairs([hop.key]))


def _offered(held: Iterable[asyncssh.SSHKeyPair]) -> list[asyncssh.SSHKeyPair]:
    """The keys, an RSA key once for each way of signing: a server that refuses one is offered the other."""
    found: list[asyncssh.SSHKeyPair] = []
    for pair in held:
        ways = [way for way in RSA if way in pair.sig_algorithms and not pair.has_cert]
        for way in ways:
            twin = copy.copy(pair)
            twin.set_sig_algorithm(way)
            twin.sig_algorithms = (way,)
            found.append(twin)
        found += [] if ways else [pair]
    return found


async def _in_agent(hop: SshAccess, file: LoginKeyFile, stack: AsyncExitStack) -> list[asyncssh.SSHKeyPair]:
    told = f"{hop} lets in the key {fingerprint(file.public)}"
    try:
        held = [pair for pair in await agent_keys(stack) if pair.public_data == file.blob]
    except KeyFileUnusable as error:
        raise KeyFileUnusable(f"{told}, which is not here, and {error}", _MISSING) from error
    if not held:
        raise KeyFileUnusable(f"{told}, which your SSH agent does not have", _MISSING)
    return held


class CommandOutput(Struct, frozen=True):
    """The result of a script on a server. Without `begun` it did not run; `login` is what the login printed.

    `code` is None if the connection was lost before the script ended. `left_out` are bytes from the middle of its
    output.
    """

    code: int | None
    output: str
    begun: bool
    login: str
    left_out: int = 0


async def ask(connection: asyncssh.SSHClientConnection, text: str, command: str = "sh -s") -> CommandOutput:
    """Run shell text, sent through stdin, and read only what it prints. Raises what LOST names."""
    framed, around = FramedOutput(), MarkedOutput()
    async with connection.create_process(command, encoding=None) as process:
        with contextlib.suppress(OSError):  # it may have ended without reading: what it says tells why
            process.stdin.write(framed.script(text).encode())
            process.stdin.write_eof()
        await hear(process, framed.hear, around.hear)
        process.close()
    code, output = framed.ended()
    if code is None and not (framed.begun and process.returncode == 0):  # broken off, so it cannot have ended well
        code = process.returncode
    said = "; ".join(filter(None, (framed.login(), around.login())))
    return CommandOutput(code, output, framed.begun, said, framed.left_out)


def interfering(user: str, host: str, login: str, how: str) -> Unreachable:
    """The fault of a login that ended before its command was reached."""
    return Unreachable(login_fault(user, host, login, how), lasting=False)


def _unreachable(hop: SshAccess, error: Exception, guest: _Guest, jump: SshAccess | None) -> Unreachable:
    """What went wrong at this hop, which was reached through `jump`, in words."""
    match error:
        case asyncssh.HostKeyNotVerifiable():
            known = " or ".join(map(fingerprint, hop.host_keys))
            message = f"{hop} shows a different host key from the known one: expected {known}, found {guest.shown}. "
            message += "Either it was reinstalled, or someone is intercepting the connection"
            hint = (
                "Do not log in before you know which. If it was replaced by hand, get its new key from a source you "
                "trust and put it into `host_key` (static), or create it anew: batchwright run FILE --replace NAME"
            )
            return Unreachable(Fault(FaultClass.AUTH, message, "host-key-mismatch", hint), lasting=True)
        case asyncssh.PermissionDenied():
            keys = f"the key {hop.key}" if hop.key else "your usual keys and your agent's"
            asked = [] if guest.refused else list(dict.fromkeys(guest.asked))
            return Unreachable(denied(hop.user, str(hop), keys, asked, fit(guest.banner)), lasting=False)
        case KeyFileUnusable():
            return Unreachable(Fault(FaultClass.AUTH, str(error), "key-unusable", error.hint), lasting=True)
        case FileNotFoundError() if hop.key:
            message = f"the key {hop.key}, which {hop} lets in, is not here"
            return Unreachable(Fault(FaultClass.AUTH, message, "key-unusable", _ELSEWHERE), lasting=True)
        case asyncssh.KeyImportError():
            message = f"the key {hop.key} cannot be used: {words(error)}"
            return Unreachable(Fault(FaultClass.AUTH, message, "key-unusable"), lasting=True)
        case asyncssh.ChannelOpenError() if jump is not None:
            prohibited = error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED
            return Unreachable(not_passed_on(str(jump), str(hop), words(error), prohibited=prohibited), lasting=False)
        case asyncssh.DisconnectError() if fault := hung_up(hop.user, str(hop), words(error), bool(hop.key)):
            return Unreachable(fault, lasting=False)
    if found := refusal_in(guest.banner, hop.user, str(hop)):  # of an account: after the key was taken
        message = f"{hop} does not let {hop.user} in any more: {fit(guest.banner)}"
        return Unreachable(Fault(FaultClass.AUTH, message, *found), lasting=False)
    hint = "Check that it is running and that SSH listens there."
    message = f"{hop} cannot be reached: {words(error)}" + (f"; it says: {fit(guest.banner)}" if guest.banner else "")
    return Unreachable(Fault(FaultClass.TRANSIENT, message, "unreachable", hint), lasting=False)


async def hear(
    process: asyncssh.SSHClientProcess[bytes], tell: Callable[[bytes], None], around: Callable[[bytes], object] = id
) -> bool:
    """Pass on the output of a program until it ends. False if another process still holds its output open.

    `around` gets the stderr of the login; a script's own stderr goes where its output goes. Nothing says when the
    login's stderr comes, so it is never mixed with the output. It must be read, since an unread stream blocks the
    output.
    """
    aside = asyncio.ensure_future(_drain(process, around))
    try:
        whole = await _hear(process, tell)
        await asyncio.wait([aside], timeout=SILENCE_SECONDS)
    finally:
        aside.cancel()
    if whole:
        await process.wait_closed()
    return whole


async def _drain(process: asyncssh.SSHClientProcess[bytes], around: Callable[[bytes], object]) -> None:
    with contextlib.suppress(*LOST):  # the reader of the output gets it too
        while data := await process.stderr.read(CHUNK):
            around(data)


async def _hear(process: asyncssh.SSHClientProcess[bytes], tell: Callable[[bytes], None]) -> bool:
    loop, ended = asyncio.get_running_loop(), 0.0
    reading = asyncio.ensure_future(process.stdout.read(CHUNK))
    try:
        while True:
            done, _ = await asyncio.wait([reading], timeout=SILENCE_SECONDS)
            if not done and ended:
                return False
            if done:
                if not (data := reading.result()):
                    return True
                tell(data)
                reading = asyncio.ensure_future(process.stdout.read(CHUNK))
            if process.exit_status is not None:
                ended = ended or loop.time()
                if loop.time() - ended > REST_SECONDS:
                    return False
    finally:
        reading.cancel()


async def _close(connection: asyncssh.SSHClientConnection) -> None:
    connection.close()
    with contextlib.suppress(TimeoutError, OSError, asyncssh.Error):
        async with asyncio.timeout(CLOSE_SECONDS):
            await connection.wait_closed()


def words(error: Exception) -> str:
    """The cause of an error, in short."""
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, OSError) and error.strerror and not isinstance(error, asyncssh.Error):
        return error.strerror
    return fit(str(error)) or type(error).__name__
