"""Who sent a request: the holder of a token or, without any token, only the user who runs the service."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from batchwright.api.connection_peer import ConnectionPeer
from batchwright.api.forwarded import was_passed_on
from batchwright.app.access_tokens import LOCAL, PREFIX, Tokens
from batchwright.app.browser_sessions import BrowserGrant, BrowserSession, BrowserSessions
from batchwright.app.run_provenance import local_principal
from batchwright.errors import Forbidden, TokensUnreadable, Unauthorized
from batchwright.model.approver import Principal
from batchwright.model.clock import Clock
from batchwright.model.role import Role
from batchwright.service.peer_credentials import Peers, is_loopback

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")  # what a form of any site can send
REFUSED = "refused"  # key in a request's state: why its sender was not authenticated

Headers = Iterable[tuple[bytes, bytes]]

log = logging.getLogger("batchwright.api")


class Caller(Struct, frozen=True):
    """The sender of a request. `commands`: may use what `serve --allow-commands` allows. `token` is the id of its
    token, `session` that of its browser's session. Without a token, `uid` is the user whom the system names as the
    owner of its connection.
    """

    name: str
    role: Role
    address: str = ""
    commands: bool = False
    token: str = ""
    uid: int = -1
    session: str = ""

    @property
    def principal(self) -> Principal:
        """Who it is, for what is recorded and for questions to people."""
        if self.token:
            return Principal(self.token, self.name, self.role)
        local = local_principal(self.uid)
        return replace(local, name=self.name, role=self.role)

    @property
    def grant(self) -> BrowserGrant:
        """What a browser gets that signs in as this caller."""
        return BrowserGrant(self.token, self.commands, self.uid)


class Authenticator:
    """Finds out who sent a request.

    `closed`: every request needs a token. Once closed, because the service also listens elsewhere or because a token
    existed, it stays closed for good, so that deleting the token file opens nothing.
    """

    def __init__(
        self,
        tokens: Tokens,
        clock: Clock,
        *,
        sessions: BrowserSessions,
        closed: bool = False,
        peers: Peers | None = None,
    ) -> None:
        self.sessions = sessions
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
            _refuse_passed_on(headers)
            self._refuse_foreign(method, headers)
            uid = await end.check(self._peers)
            return Caller(LOCAL, Role.ADMIN, end.address, uid=uid)
        given = _one(headers, b"authorization")
        if given is not None:
            return self._holder(given, end.address)
        if end.unix is None:
            return self._browser(method, headers, end.address)
        _refuse_passed_on(headers)
        uid = await end.check(self._peers)
        return Caller(LOCAL, Role.ADMIN, end.address, commands=True, uid=uid)

    def _holder(self, given: str, address: str) -> Caller:
        scheme, _, secret = given.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthorized("the Authorization header holds no Batchwright token")
        return self.holder(secret, address)

    def holder(self, secret: str, address: str) -> Caller:
        """The holder of a token. Raises Unauthorized, TokensUnreadable."""
        if not secret.strip().startswith(PREFIX):
            raise Unauthorized("this is not a Batchwright token")
        try:
            token = self._tokens.of(secret.strip(), self._clock.now())
        except TokensUnreadable as error:
            self._tell(error)
            raise TokensUnreadable("tokens cannot be checked now, so none is accepted") from error
        self._told = ""
        return Caller(token.name, token.role, address, commands=True, token=token.id)

    def in_browser(self, secret: str, address: str) -> Caller | None:
        """Who has signed in with this session's secret; None if the session or its token has ended.

        Raises TokensUnreadable.
        """
        now = self._clock.now()
        try:
            found = self.sessions.of(secret, now)
            return self._signed_in(found, address, now) if found is not None else None
        except TokensUnreadable as error:
            self._tell(error)
            raise TokensUnreadable("sessions cannot be checked now, so none is accepted") from error

    def _signed_in(self, found: BrowserSession, address: str, now: float) -> Caller | None:
        grant = found.grant
        if not grant.token:
            return Caller(LOCAL, Role.ADMIN, address, grant.commands, uid=grant.uid, session=found.id)
        token = next((one for one in self._tokens.all() if one.id == grant.token and not one.trouble(now)), None)
        if token is None:
            return None
        return Caller(token.name, token.role, address, grant.commands, token=token.id, session=found.id)

    def _browser(self, method: str, headers: Headers, address: str) -> Caller | None:
        """The caller of a request with a session's cookie. Raises Forbidden unless one of our pages sent what changes
        something.
        """
        secret = session_in(headers, self.sessions.cookie)
        caller = self.in_browser(secret, address) if secret else None
        if caller is None or method in SAFE:
            return caller
        site, origin = _one(headers, b"sec-fetch-site"), _one(headers, b"origin") or ""
        host = (_one(headers, b"host") or "").lower()
        if site != "same-origin" if site is not None else origin.lower().partition("://")[2] != host:
            raise Forbidden("only a page of this service may change something with its session")
        kind = (_one(headers, b"content-type") or "").partition(";")[0].strip().lower()
        if not kind or kind in FORMS:
            raise Forbidden("with a session, what changes something is sent as application/json")
        return caller

    def still(self, caller: Caller) -> bool:
        """Whether a caller that was admitted would still be admitted now."""
        try:
            if caller.session and not self.sessions.holds(caller.session, self._clock.now()):
                return False
            if not caller.token:  # over the service's own socket, by a session of its owner, or without any token
                return bool(caller.session) or caller.commands or not self.closed
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


def _refuse_passed_on(headers: Headers) -> None:
    """Refuse what a proxy sent: the connection is the proxy's, and does not tell who asked. Raises Forbidden."""
    if was_passed_on(headers):
        raise Forbidden(
            "this request came through a proxy, and without a token nobody knows who sent it",
            hint="Create a token: batchwright token create --role ROLE. docs/reverse-proxies.md has the settings.",
        )


def session_in(headers: Headers, cookie: str) -> str:
    """The secret in the session's cookie; empty without one."""
    for key, value in headers:
        if key.lower() == b"cookie":
            for one in value.decode("latin-1").split(";"):
                name, _, secret = one.strip().partition("=")
                if name == cookie:
                    return secret
    return ""


def _one(headers: Headers, name: bytes) -> str | None:
    """The value of a header that may be given only once; None if it is missing. Raises Forbidden."""
    found = [value for key, value in headers if key.lower() == name]
    if len(found) > 1:
        raise Forbidden(f"the header {name.decode()} is given {len(found)} times", hint="Give it once.")
    return found[0].decode("latin-1").strip() if found else None
