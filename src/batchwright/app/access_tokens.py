"""The tokens of the service: each has a role, and only its hash is kept, in one private file of the state folder."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchwright import durable_files
from batchwright.app.settings import Settings
from batchwright.errors import TokensUnreadable, Unauthorized, UsageError
from batchwright.journal.store_folder import alone, make_private
from batchwright.model.guardrail_limits import NO_LIMITS, GuardrailLimits
from batchwright.model.role import Role
from batchwright.regular_files import contents

PREFIX = "bw_"  # so that scanners for leaked secrets, and people, know it when they see it
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
LOCAL, NOBODY = "local", "nobody"  # a caller without a token, in the audit trail


class AccessToken(Struct, frozen=True):
    """One token. Of the secret only the hash is kept: it has 256 random bits, so a plain SHA-256 is enough.

    `limits` hold for every plan that its holder runs, beside those of the operator and the workflow.
    """

    id: str
    name: str
    role: Role
    hash: str
    created_at: float
    expires_at: float = 0.0  # 0: never
    revoked_at: float = 0.0
    limits: GuardrailLimits = NO_LIMITS

    def trouble(self, now: float) -> str:
        """Why the token is not valid, empty if it is."""
        if self.revoked_at:
            return "was revoked"
        return "has expired" if self.expires_at and self.expires_at <= now else ""


class TokenLine(Struct, frozen=True):
    """What people see of a token: never its secret, nor its hash. `trouble` says why it is not valid, "" if it is."""

    id: str
    name: str
    role: Role
    created_at: float
    expires_at: float
    revoked_at: float
    trouble: str = ""


def token_line(token: AccessToken, now: float) -> TokenLine:
    """The line of a token."""
    own = token.id, token.name, token.role, token.created_at, token.expires_at, token.revoked_at
    return TokenLine(*own, token.trouble(now))


Record = Callable[[AccessToken], None]  # called with a change before it is made


def _nothing(_: AccessToken) -> None:
    pass


class Tokens:
    """The tokens of one state folder. The file is read again when it has changed, so a revocation holds at once."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.state_dir
        self._path = settings.state_dir / "tokens.json"
        self.outdated: Callable[[], str] = lambda: ""  # why the copy of shared tokens is too old, empty if it is not
        self._stamp: tuple[int, ...] | None = None
        self._known: tuple[AccessToken, ...] = ()

    def all(self) -> tuple[AccessToken, ...]:
        """Every token that was ever created here, revoked ones too; none if there is no file.

        Raises TokensUnreadable if the file exists, or existed, and cannot be read and trusted.
        """
        try:
            state = self._path.stat()
        except FileNotFoundError:
            if self._path.is_symlink():
                raise TokensUnreadable(f"{self._path} is a link to a missing file") from None
            self._stamp, self._known = None, ()
            return ()
        except OSError as error:
            raise self._unreadable(error) from error
        stamp = (state.st_ino, state.st_mtime_ns, state.st_size, state.st_mode, state.st_uid)
        if stamp != self._stamp:
            self._stamp = None
            if state.st_mode & 0o077:
                raise TokensUnreadable(f"{self._path} can be read by other users", hint=f"chmod 600 {self._path}")
            if state.st_uid not in (os.geteuid(), 0):
                raise TokensUnreadable(
                    f"{self._path} belongs to the user {state.st_uid}",
                    hint="Create new tokens with: batchwright token create",
                )
            self._known, self._stamp = self._read(), stamp
        return self._known

    def merge(self, shared: Sequence[AccessToken]) -> list[AccessToken]:
        """Keep a copy of what all services of a store share; gives the tokens that the store does not have so yet.

        A token that was revoked anywhere is revoked. Raises TokensUnreadable, StoreError.
        """
        make_private(self._folder)
        with alone(self._folder):
            known, theirs = {one.id: one for one in self.all()}, {one.id: one for one in shared}
            merged = known | {
                key: replace(one, revoked_at=one.revoked_at or known.get(key, one).revoked_at)
                for key, one in theirs.items()
            }
            if merged != known:
                self._write(tuple(merged.values()))
        return [one for key, one in merged.items() if one != theirs.get(key)]

    def valid(self, now: float) -> int:
        """How many tokens are valid now. Raises TokensUnreadable."""
        return sum(not token.trouble(now) for token in self.all())

    def _read(self) -> tuple[AccessToken, ...]:
        try:
            return msgspec.json.decode(contents(self._path), type=tuple[AccessToken, ...])
        except (OSError, msgspec.MsgspecError) as error:
            raise self._unreadable(error) from error

    def _refuse_outdated(self) -> None:
        if outdated := self.outdated():
            raise TokensUnreadable(outdated, hint="They are accepted again when the store answers.")

    def _unreadable(self, error: Exception) -> TokensUnreadable:
        hint = "Remove it, then create new tokens: batchwright token create"
        return TokensUnreadable(f"{self._path} cannot be read: {error}", hint=hint)

    def create(
        self,
        name: str,
        role: Role,
        now: float,
        lifetime: float | None,
        record: Record = _nothing,
        limits: GuardrailLimits = NO_LIMITS,
    ) -> tuple[AccessToken, str]:
        """A new token and its secret, which is shown once and not kept; none is created if `record` raises.

        A proposer destroys nothing, unless `limits` say how many servers it may. Raises UsageError, StoreError.
        """
        if not NAME.fullmatch(name) or name in (LOCAL, NOBODY):
            raise UsageError(
                f"{name!r} is not a valid token name",
                hint=f"Use 1 to 64 letters, digits, . _ @ + and -. {LOCAL} and {NOBODY} mean a caller without a token.",
            )
        secret = PREFIX + secrets.token_urlsafe(32)
        expires = now + lifetime if lifetime is not None else 0.0
        if role is Role.PROPOSER and limits.destroys is None:
            limits = replace(limits, destroys=0)
        made = AccessToken(secrets.token_hex(4), name, role, _hash(secret), now, expires, limits=limits)
        make_private(self._folder)
        with alone(self._folder):
            known = self.all()
            if any(token.name == name and not token.trouble(now) for token in known):
                raise UsageError(f"a token named {name!r} already exists", hint="Choose another name, or revoke it.")
            record(made)
            self._write((*known, made))
        return made, secret

    def revoke(self, word: str, now: float, record: Record = _nothing) -> AccessToken:
        """Revoke the token with this id or name, unless `record` raises. Raises UsageError, StoreError."""
        make_private(self._folder)
        with alone(self._folder):
            known = self.all()
            found = [one for one in known if word in (one.id, one.name) and not one.revoked_at]
            if len(found) != 1:
                raise UsageError(f"there is no token {word!r}", hint="List them with: batchwright token list")
            revoked = replace(found[0], revoked_at=now)
            record(revoked)
            self._write(tuple(revoked if token is found[0] else token for token in known))
        return revoked

    def _write(self, tokens: tuple[AccessToken, ...]) -> None:
        durable_files.write(self._path, msgspec.json.format(msgspec.json.encode(tokens)))

    def of(self, secret: str, now: float) -> AccessToken:
        """The valid token with this secret. Raises Unauthorized, TokensUnreadable."""
        self._refuse_outdated()
        digest = _hash(secret)
        for token in self.all():
            if hmac.compare_digest(token.hash.encode(), digest.encode()):
                if trouble := token.trouble(now):
                    raise Unauthorized(f"the token {token.name} {trouble}")
                return token
        raise Unauthorized("this service does not know this token")

    def limits_of(self, principal: str) -> GuardrailLimits:
        """The limits of the token with this id. Raises TokensUnreadable."""
        return next((one.limits for one in self.all() if one.id == principal), NO_LIMITS)

    def holds(self, token: str, now: float) -> bool:
        """Whether the token with this id is still valid. Raises TokensUnreadable."""
        self._refuse_outdated()
        return any(one.id == token and not one.trouble(now) for one in self.all())


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
