"""Resolves a reference to a secret when it is used: the exact bytes, without a final newline."""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar, copy_context
from typing import IO

from batchwright.errors import SecretMissing, UsageError
from batchwright.model.secret_reference import SecretReference
from batchwright.printable import printable, shortened
from batchwright.redaction import Redactor, secrets_in_environment
from batchwright.user_home import expanded

MAX_BYTES = 128 * 1024  # what Linux gives a program in one variable
PRINTED_MAX = 16 * 1024 * 1024  # of a command: one that prints more is ended
COMMAND_SECONDS = 20.0
LOOK_SECONDS = 0.05  # between two checks whether a caller still waits for the command's secret
REST_SECONDS = 0.5  # for what a command that has ended left in its pipes; what it left running may hold those open
REASON_BYTES, REASON_CHARACTERS = 64 * 1024, 600  # of what a command says when it fails

Reveal = Callable[[SecretReference], str]

_AT_ONCE = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_given_up: ContextVar[threading.Event | None] = ContextVar("given_up", default=None)


def reveal(secret: SecretReference, environ: Mapping[str, str]) -> str:
    """The secret. Raises SecretMissing, whose message reveals nothing of it."""
    return _text(secret, _printed(secret, environ)) if secret.command else peek(secret, environ)


def peek(secret: SecretReference, environ: Mapping[str, str]) -> str:
    """The secret of a file or a variable; "" for a command, which is not run. Raises SecretMissing."""
    if secret.command:
        return ""
    if secret.file:
        return _text(secret, _read(secret))
    if secret.env not in environ:
        raise SecretMissing(f"{secret} is not set")
    return _text(secret, os.fsencode(environ[secret.env]))


async def revealed(secret: SecretReference, reveal: Reveal) -> str:
    """The result of `reveal`, without blocking others. If the caller is cancelled, the program is ended."""
    given_up, context = threading.Event(), copy_context()
    context.run(_given_up.set, given_up)
    try:
        return await asyncio.get_running_loop().run_in_executor(None, context.run, reveal, secret)
    except asyncio.CancelledError:
        given_up.set()
        raise


def _text(secret: SecretReference, data: bytes) -> str:
    """The bytes as text, whose encoding gives the same bytes again. Raises SecretMissing."""
    data = data.removesuffix(b"\n")
    if not data:
        raise SecretMissing(f"{secret} is empty")
    if len(data) > MAX_BYTES:
        raise _too_long(secret, len(data))
    if b"\0" in data:
        raise SecretMissing(f"{secret} contains a NUL byte, which cannot be passed to a program")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise SecretMissing(f"{secret} is not UTF-8 text") from None


def _too_long(secret: SecretReference, size: int, over: str = "") -> SecretMissing:
    return SecretMissing(f"{secret} has {over}{size:,} bytes; a secret has at most {MAX_BYTES:,}")


def _read(secret: SecretReference) -> bytes:
    """A regular file's bytes; nothing else is waited for. Raises SecretMissing."""
    try:
        path = expanded(secret.file)
        _refuse_others(secret, path.stat().st_mode)
        with os.fdopen(os.open(path, _AT_ONCE), "rb", buffering=0) as file:
            told = os.fstat(file.fileno())
            _refuse_others(secret, told.st_mode)  # it may have become another since
            found = b""
            while len(found) <= MAX_BYTES + 1 and (some := file.read(MAX_BYTES + 2 - len(found))):
                found += some
    except FileNotFoundError:
        raise SecretMissing(f"{secret} does not exist") from None
    except (OSError, UsageError, ValueError) as error:  # no home to expand `~` to; a NUL in its name
        why = error.strerror or "error" if isinstance(error, OSError) else str(error)
        raise SecretMissing(f"{secret} cannot be read: {why}") from None
    if len(found.removesuffix(b"\n")) > MAX_BYTES:
        raise _too_long(secret, *((told.st_size,) if told.st_size > MAX_BYTES else (MAX_BYTES, "over ")))
    return found


def _refuse_others(secret: SecretReference, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((words for test, words in _KINDS if test(mode)), "not a regular file")
        raise SecretMissing(f"{secret} is {kind}; it must be a regular file")


def _printed(secret: SecretReference, environ: Mapping[str, str]) -> bytes:
    """What the command prints, once it has ended well: the command's end counts, not that of its output."""
    word = secret.command[0]
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own command, without a shell
            secret.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environ),
            start_new_session=True,  # so that it can be ended with its children, and cannot prompt at a terminal
            bufsize=0,
        )
    except (OSError, ValueError) as error:
        why = error.strerror or "error" if isinstance(error, OSError) else str(error)
        raise SecretMissing(f"{secret} is not available: {word} cannot be started: {why}") from None
    said = _Said(secret, environ)
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        with process.stdout, process.stderr:
            said.listen(process, process.stdout, process.stderr)
        code = process.wait()
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if code != 0:
        how = f"ended with {code}" if code > 0 else f"was ended by signal {-code}"
        raise SecretMissing(f"{word}, which prints a secret, {how}{said.reason()}")
    return said.whole()


class _Said:
    """What a command prints: the secret, and beside it the reason if it fails."""

    def __init__(self, secret: SecretReference, environ: Mapping[str, str]) -> None:
        self._named, self._environ = secret, environ
        self.secret = self._errors = b""
        self._size = 0  # of what it prints, of which no more is kept than a secret may have

    def listen(self, process: subprocess.Popen[bytes], output: IO[bytes], errors: IO[bytes]) -> None:
        """Until it has ended, and its output too if that comes soon. Raises SecretMissing."""
        word, given_up = self._named.command[0], _given_up.get()
        until, ended = time.monotonic() + COMMAND_SECONDS, 0.0
        with selectors.DefaultSelector() as selector:
            for stream in (output, errors):
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map() or not ended:
                for key, _ in selector.select(LOOK_SECONDS) if selector.get_map() else _pause():
                    if not self._hear(os.read(key.fd, 64 * 1024), key.fd == output.fileno()):
                        selector.unregister(key.fileobj)
                now = time.monotonic()
                if not ended and process.poll() is not None:
                    ended = now
                if ended and now - ended > REST_SECONDS:
                    return
                if given_up is not None and given_up.is_set():
                    raise SecretMissing(f"{word}, which prints a secret, was interrupted")
                if not ended and now > until:
                    limit = f"took over {COMMAND_SECONDS:g} s and was ended"
                    raise SecretMissing(f"{word}, which prints a secret, {limit}{self.reason()}")

    def _hear(self, data: bytes, is_secret: bool) -> bool:
        if is_secret:
            self._size += len(data)
            self.secret = (self.secret + data)[: MAX_BYTES + 2]
            if self._size > PRINTED_MAX:
                raise _too_long(self._named, PRINTED_MAX, "over ")
        else:
            self._errors = (self._errors + data)[-REASON_BYTES:]
        return bool(data)

    def whole(self) -> bytes:
        """The secret. Raises SecretMissing."""
        if len(self.secret.removesuffix(b"\n")) > MAX_BYTES:
            raise _too_long(self._named, self._size)
        return self.secret

    def reason(self) -> str:
        """The end of what it said on stderr, on one line, without what may be of the secret."""
        hidden = Redactor([self.secret.decode("utf-8", "replace").strip(), *secrets_in_environment(self._environ)])
        text = hidden.of_bytes(self._errors).decode("utf-8", "replace")
        words = " ".join(printable(text).split())
        return f": {shortened(words, REASON_CHARACTERS)}" if words else ""


def _pause() -> tuple[()]:
    time.sleep(LOOK_SECONDS)
    return ()
