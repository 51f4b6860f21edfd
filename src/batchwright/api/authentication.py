"""Who sent a request: the holder of a token or, without any token, only the user who runs the service."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from batchwright.api.connection_peer import ConnectionPeer
from batchwright.app.access_tokens import LOCAL, PREFIX, Tokens
from batchwright.app.run_provenance import local_principal
from batchwright.errors import Forbidden, TokensUnreadable, Unauthorized
from batchwright.model.approver import Principal
from batchwright.model.clock import Clock
from batchwright.model.role import Role
from batchwright.service.peer_credentials import Peers, is_loopback

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
REFUSED = "refused"  # key in a request's state: why its sender was not authenticated

Headers = Iterable[tuple[bytes, bytes]]

log = logging.getLogger("batchwright.api")


class Caller(Struct, frozen=True):
    """The sender of a request. `commands`: may use what `serve --allow-commands` allows. `token` is the id of its
    token; without one, `uid` is the user whom the system names as the owner of its connection.
    """

    name: str
    role: Role
    address: str = ""
    commands: bool = False
    token: str = ""
    uid: int = -1

    @property
    def principal(self) -> Principal:
        """Who it is, for what is recorded and for questions to people."""
        if self.token:
            return Principal(self.token, self.name, self.role)
        local = local_principal(self.uid)
        return replace(local, name=self.name, role=self.role)


class Authenticator:
    """Finds out who sent a request.

    `closed`: every request needs a token. Once closed, because the service also listens elsewhere or because a token
    existed, it stays closed for good, so that deleting the token file opens nothing.
    """

    def __init__(self, tokens: Tokens, clock: Clock, *, closed: bool = False, peers: Peers | None = None) -> None:
        self._tokens = tokens
        self._clock = clock
        self._peers = peers or Peers()
        self._closed = closed
        self._told = ""

    @property
    def closed(self) -> bool:
        """Whether every request over TCP needs a token, from now on."""
        if not self._closed:
            try:
                self._closed = bool(self._tokens.all())
            except TokensUnreadable as error:
                self._closed = True
                self._tell(error)
        return self._closed

    def _tell(self, error: TokensUnreadable) -> None:
        """Log the error once, and only here: its path must not reach callers without a token."""
        if error.message != self._told:
            log.error("tokens cannot be checked, so none is accepted: %s", error.message)
        self._told = error.message

    async def caller(self, method: str, headers: Headers, end: ConnectionPeer) -> Caller | None:
        """The sender of a request; None without a token.

        Raises Unauthorized, PeerUnknown, Forbidden, TokensUnreadable.
        """
        if end.unix is None and not self.closed:
            self._refuse_foreign(method, headers)
            uid = await end.check(self._peers)
            return Caller(LOCAL, Role.ADMIN, end.address, uid=uid)
        given = _one(headers, b"authorization")
        if given is not None:
            return self._holder(given, end.address)
        if end.unix is None:
            return None
        uid = await end.check(self._peers)
        return Caller(LOCAL, Role.ADMIN, end.address, commands=True, uid=uid)

    def _holder(self, given: str, address: str) -> Caller:
        scheme, _, secret = given.partition(" ")
        if scheme.lower() != "bearer" or not secret.strip().startswith(PREFIX):
            raise Unauthorized("the Authorization header holds no Batchwright token")
        try:
            token = self._tokens.of(secret.strip(), self._clock.now())
        except TokensUnreadable as error:
            self._tell(error)
            raise TokensUnreadable("tokens cannot be checked now, so none is accepted") from error
        self._told = ""
        return Caller(token.name, token.role, address, commands=True, token=token.id)

    def still(self, caller: Caller) -> bool:
        """Whether a caller that was admitted would still be admitted now."""
        if not caller.token:
            return caller.commands or not self.closed  # admitted over the service's own socket, or without any token
        try:
            return self._tokens.holds(caller.token, self._clock.now())
        except TokensUnreadable as error:
            self._tell(error)
            return False

    def _refuse_foreign(self, method: str, headers: Headers) -> None:
        """Refuse requests that a web page made through the user's browser. Raises Forbidden."""
        named, origin = _one(headers, b"host") or "", _one(headers, b"origin")
        try:
            host = (urlsplit(f"//{named}").hostname or "") if named else ""
            origin_host = (urlsplit(origin).netloc if origin else "").lower()
        except ValueError as error:
            raise Forbidden(f"the Host or Origin header is not an address: {error}") from error
        if not is_loopback(host):
            hint = "Use http://localhost, or create a token: batchwright token create --role ROLE"
            raise Forbidden(
                f"without tokens the service only answers requests for this machine, not for {host!r}", hint=hint
            )
        if origin is not None and origin_host != named.lower():
            raise Forbidden(f"a page of {origin} may not use this service")
        followed = method == "GET" and _one(headers, b"sec-fetch-mode") == "navigate"  # a link to one of our pages
        if not followed and (_one(headers, b"sec-fetch-site") or "none") not in ("none", "same-origin"):
            raise Forbidden("a page of another site may not use this service")


def _one(headers: Headers, name: bytes) -> str | None:
    """The value of a header that may be given only once; None if it is missing. Raises Forbidden."""
    found = [value for key, value in headers if key.lower() == name]
    if len(found) > 1:
        raise Forbidden(f"the header {name.decode()} is given {len(found)} times", hint="Give it once.")
    return found[0].decode("latin-1").strip() if found else None
