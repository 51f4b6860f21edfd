"""The sessions of browsers that are signed in to the service: only hashes are kept, in one private file."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable

import msgspec
from msgspec import Struct

from batchwright import durable_files
from batchwright.app.settings import Settings
from batchwright.errors import TokensUnreadable
from batchwright.journal.store_folder import alone, make_private
from batchwright.regular_files import contents

SESSION_SECONDS = 7 * 86_400.0
CODE_SECONDS = 60.0
SESSIONS_MAX, CODES_MAX = 1_000, 100  # the oldest go first


class BrowserGrant(Struct, frozen=True):
    """As whom a browser signs in: the holder of a token, by its id, or, without one, the user `uid` of this machine.

    `commands`: it may use what `serve --allow-commands` allows.
    """

    token: str
    commands: bool = False
    uid: int = -1


class BrowserSession(Struct, frozen=True):
    """One browser that is signed in."""

    id: str
    grant: BrowserGrant
    hash: str
    expires_at: float


class BrowserSessions:
    """The sessions of one state folder, and the codes that this process has given out.

    The file is read again when it has changed. Losing it only means that everybody signs in again.
    """

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.state_dir
        self._path = settings.state_dir / "sessions.json"
        self._stamp: tuple[int, ...] | None = None
        self._known: dict[str, BrowserSession] = {}
        self._codes: dict[str, tuple[BrowserGrant, float]] = {}  # and until when

    @property
    def cookie(self) -> str:
        """The name of the cookie: one per state folder, because the ports of a host share their cookies."""
        return f"batchwright-{_hash(str(self._folder))[:8]}"

    def code(self, grant: BrowserGrant, now: float) -> str:
        """A code that signs a browser in once, within CODE_SECONDS."""
        secret = secrets.token_urlsafe(32)
        self._codes = {key: one for key, one in self._codes.items() if one[1] > now}
        while len(self._codes) >= CODES_MAX:
            self._codes.pop(next(iter(self._codes)))
        self._codes[_hash(secret)] = (grant, now + CODE_SECONDS)
        return secret

    def take(self, code: str, now: float) -> BrowserGrant | None:
        """What a code stands for; None if it is unknown, too old or used."""
        grant, until = self._codes.pop(_hash(code), (None, 0.0))
        return grant if until > now else None

    def begin(self, grant: BrowserGrant, now: float) -> str:
        """Begin a session, and give its secret, which is not kept. Raises TokensUnreadable, StoreError."""
        secret = secrets.token_urlsafe(32)
        made = BrowserSession(secrets.token_hex(8), grant, _hash(secret), now + SESSION_SECONDS)
        self._change(lambda known: [*known, made], now)
        return secret

    def end(self, session: str, now: float) -> None:
        """End the session with this id. Raises TokensUnreadable, StoreError."""
        self._change(lambda known: [one for one in known if one.id != session], now)

    def of(self, secret: str, now: float) -> BrowserSession | None:
        """The session with this secret; None if there is none. Raises TokensUnreadable."""
        found = self._all().get(_hash(secret))
        return found if found is not None and found.expires_at > now else None

    def holds(self, session: str, now: float) -> bool:
        """Whether the session with this id goes on. Raises TokensUnreadable."""
        return any(one.id == session and one.expires_at > now for one in self._all().values())

    def _change(self, change: Callable[[list[BrowserSession]], list[BrowserSession]], now: float) -> None:
        make_private(self._folder)
        with alone(self._folder):
            kept = change([one for one in self._all().values() if one.expires_at > now])[-SESSIONS_MAX:]
            durable_files.write(self._path, msgspec.json.encode(kept))

    def _all(self) -> dict[str, BrowserSession]:
        try:
            state = self._path.stat()
            stamp = (state.st_ino, state.st_mtime_ns, state.st_size, state.st_mode, state.st_uid)
            if stamp != self._stamp:
                if state.st_mode & 0o077:
                    raise TokensUnreadable(f"{self._path} can be read by other users", hint=f"chmod 600 {self._path}")
                read = msgspec.json.decode(contents(self._path), type=list[BrowserSession])
                self._known, self._stamp = {one.hash: one for one in read}, stamp
        except FileNotFoundError:
            self._known, self._stamp = {}, None
        except (OSError, msgspec.MsgspecError) as error:
            hint = "Remove it; everybody signs in again."
            raise TokensUnreadable(f"{self._path} cannot be read: {error}", hint=hint) from error
        return self._known


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
