"""HTTP with explicit time-outs and no retry: one request, one answer. Knows nothing about any cloud."""

from __future__ import annotations

import re
import ssl
from base64 import b64decode
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
from msgspec import Struct

from batchwright.redaction import Redactor

TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=10, sock_read=50)
PAUSE_MAX = 3600.0  # seconds; the longest wait that a response may ask for
ANSWER_MAX = 32 * 1024 * 1024  # bytes of one answer

_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[\w.~:@+,=-]+)*", re.ASCII)

Query = Sequence[tuple[str, str]]


class HttpReply(Struct, frozen=True):
    """A response. `body` is None if it is not JSON; `retry_after` is in seconds, None if not given.

    `ok` only holds for JSON or an empty body, so never for a page of a gateway, whatever its status.
    """

    status: int
    body: Any = None
    retry_after: float | None = None

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300 and self.body is not None


class NotSent(Exception):
    """The request never reached the cloud, so it had no effect."""


class NoAnswer(Exception):
    """The request was sent, or may have been, and no complete answer arrived."""


class Http:
    """One connection pool. `url` has no slash at its end."""

    def __init__(self, url: str, authorization: str) -> None:
        self.url = url
        self._proxy = _proxy_for(url)
        self._redact = Redactor(_credentials(authorization))
        headers = {"Authorization": authorization, "Accept": "application/json", "User-Agent": "batchwright"}
        self._pooled = self._session(headers, aiohttp.TCPConnector(limit=16))
        # Reusing a pooled connection that the server has just closed would leave the outcome of a create unknown.
        self._fresh = self._session(headers, aiohttp.TCPConnector(limit=64, force_close=True))

    @staticmethod
    def _session(headers: dict[str, str], connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        jar = aiohttp.DummyCookieJar()
        return aiohttp.ClientSession(headers=headers, connector=connector, timeout=TIMEOUT, cookie_jar=jar)

    async def aclose(self) -> None:
        """Close both pools; may be called twice."""
        await self._pooled.close()
        await self._fresh.close()

    async def call(
        self, method: str, path: str, body: object = None, query: Query = (), *, fresh: bool = False
    ) -> HttpReply:
        """Send one request and return the response, refusals too. Raises NotSent, NoAnswer."""
        if not _PATH.fullmatch(path):  # a reference from elsewhere must not lead to another resource
            raise NotSent(f"{path!r} is not a path of {urlsplit(self.url).netloc}")
        session = self._fresh if fresh else self._pooled
        sent = session.request(
            method,
            self.url + path,
            params=list(query),
            json=body if body is not None else None,
            allow_redirects=False,  # a redirect would send a create a second time
            proxy=self._proxy,
        )
        try:
            async with sent as response:
                raw = await _whole(response)
                if response.status >= 400:  # some proxies echo the request
                    raw = self._redact.of_bytes(raw)
                return HttpReply(response.status, _decoded(raw), _retry_after(response.headers))
        except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSent(_why(error, self.url)) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NoAnswer(f"{urlsplit(self.url).netloc}: {type(error).__name__}: {error}".rstrip(": ")) from error


def _credentials(authorization: str) -> list[str]:
    """The secret parts of an Authorization header: the token, or name and password, and the password alone."""
    words = authorization.split(maxsplit=1)[-1]
    try:
        plain = b64decode(words, validate=True).decode()
    except ValueError:
        return [words]
    return [words, plain, plain.partition(":")[2]]


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > ANSWER_MAX:
            raise aiohttp.ClientPayloadError(f"an answer of over {ANSWER_MAX} bytes")
        parts.append(part)
    return b"".join(parts)


def _decoded(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw) if raw else {}
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from Retry-After (a number or a date), else from RateLimit-Reset (a time). Compared with the response's
    own Date, since our clock may differ.
    """
    text, reset = headers.get("Retry-After", ""), headers.get("RateLimit-Reset", "")
    if _whole_number(text):
        return float(text)
    now = _seconds(headers.get("Date", ""))
    until = float(reset) if not text and _whole_number(reset) else _seconds(text)
    return min(max(0.0, until - now), PAUSE_MAX) if until and now else None


def _whole_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 16


def _seconds(date: str) -> float:
    try:
        return parsedate_to_datetime(date).timestamp() if date else 0.0
    except (ValueError, TypeError):
        return 0.0


def _proxy_for(url: str) -> str | None:
    """The proxy from HTTPS_PROXY and its relatives, as in other programs. Passwords in ~/.netrc are not used."""
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get(parts.scheme)


def _why(error: Exception, url: str) -> str:
    """A message that says which part of the connection failed."""
    place = urlsplit(url).netloc
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return f"the certificate of {place} is not trusted: {_distrust(error.certificate_error)}"
        case aiohttp.ClientConnectorDNSError():
            return f"the name {place} cannot be resolved ({error.os_error})"
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return f"the proxy on the way to {place} refused the connection ({_short(error)})"
        case aiohttp.ClientSSLError():
            return f"no encrypted connection to {place} can be made ({_short(error)})"
        case aiohttp.ConnectionTimeoutError():
            return f"{place} did not accept the connection within {TIMEOUT.sock_connect:g} s"
    return f"{place} did not accept the connection ({_short(error)})"


_WRONG_TIME = (9, 10)  # of OpenSSL's X509_V_ERR_*: not yet valid, no longer valid


def _distrust(error: Exception) -> str:
    told = getattr(error, "verify_message", "") or str(error)
    wrong_time = getattr(error, "verify_code", 0) in _WRONG_TIME
    return f"{told}; is this machine's clock right?" if wrong_time else f"{told}; is there a proxy in between?"


def _short(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"HTTP {error.status}"
    reason = getattr(error, "os_error", None)
    if isinstance(reason, ssl.SSLError):
        return reason.reason or "TLS"
    return str(getattr(reason, "strerror", None) or error)
