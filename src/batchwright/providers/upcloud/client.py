"""One request, one answer: HTTP with explicit time-outs and no retry. Nothing here knows what a server is.

UpCloud's own clients lose the HTTP status of an error, cannot page, and fail on answers that were really given.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec

from batchwright.errors import ProviderUnavailable
from batchwright.providers.upcloud.faults import Answer, fault_of

TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=10, sock_read=50)
ANSWER_MAX = 32 * 1024 * 1024  # bytes of one answer
PAGES_MAX = 1000  # of one listing

Query = Sequence[tuple[str, str]]


class NotSent(Exception):
    """The request never reached UpCloud, so nothing came of it."""


class NoAnswer(Exception):
    """The request was sent, or may have been, and no whole answer came."""


class Client:
    """One connection pool. `url` has no slash at its end."""

    def __init__(self, url: str, authorization: str, page: int) -> None:
        self.url, self._page = url, page
        self._proxy = _proxy_for(url)
        headers = {"Authorization": authorization, "Accept": "application/json", "User-Agent": "batchwright"}
        self._pooled = self._session(headers, aiohttp.TCPConnector(limit=16))
        # A pooled connection that the other side has just closed would leave the outcome of a create unknown.
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
    ) -> Answer:
        """Send one request. Raises NotSent, NoAnswer; every answer, refusals too, is returned."""
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
                return Answer(response.status, _decoded(raw), _retry_after(response.headers.get("Retry-After", "")))
        except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSent(_why(error, self.url)) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NoAnswer(f"{urlsplit(self.url).netloc}: {type(error).__name__}: {error}".rstrip(": ")) from error

    async def look(self, path: str, query: Query = ()) -> Answer:
        """A GET that either answers or says that there is nothing (404). Raises ProviderUnavailable for all else."""
        try:
            answer = await self.call("GET", path, query=query)
        except (NotSent, NoAnswer) as error:
            raise ProviderUnavailable(f"UpCloud cannot be asked: {error}", hint="Try again in a moment.") from error
        if answer.status == 404 and answer.code:
            return answer
        if not answer.ok:
            fault = fault_of(answer)
            raise ProviderUnavailable(f"{fault.message} ({path})", hint=fault.hint or "Try again in a moment.")
        if not isinstance(answer.body, dict):
            raise ProviderUnavailable(f"UpCloud's answer to {path} is not JSON", hint="Is there a proxy in between?")
        return answer

    async def read(self, path: str, query: Query = ()) -> dict[str, Any]:
        """A GET of what must be there. Raises ProviderUnavailable."""
        answer = await self.look(path, query)
        if not answer.ok:
            raise ProviderUnavailable(f"{fault_of(answer).message} ({path})", hint="Is the address of the API right?")
        body: dict[str, Any] = answer.body
        return body

    async def listing(self, path: str, outer: str, inner: str, query: Query = ()) -> list[dict[str, Any]]:
        """All entries of a listing, each once. Raises ProviderUnavailable when any page of it failed.

        The published default is 25 entries and it is not known whether it is applied, so pages are asked for until one
        brings nothing new, whatever their length.
        """
        found: dict[str, dict[str, Any]] = {}
        for number in range(PAGES_MAX):
            window = [("limit", str(self._page)), ("offset", str(number * self._page))]
            body = await self.read(path, [*query, *window])
            wrapped = body.get(outer)
            rows = wrapped.get(inner) if isinstance(wrapped, dict) else None
            if not isinstance(rows, list):
                raise ProviderUnavailable(f"UpCloud's listing {path} has no {outer}.{inner}", hint="Please report it.")
            fresh = {str(row["uuid"]): row for row in rows if isinstance(row, dict) and "uuid" in row}
            if not fresh.keys() - found.keys():
                return list(found.values())
            found |= fresh
        raise ProviderUnavailable(f"UpCloud's listing {path} has over {PAGES_MAX} pages", hint="Please report it.")


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


def _retry_after(text: str) -> float | None:
    """Seconds; the form with a date is not worth a second clock."""
    return float(text) if text.isascii() and text.isdecimal() else None


def _proxy_for(url: str) -> str | None:
    """HTTPS_PROXY and its relatives, as other programs understand them. Passwords of ~/.netrc are left alone."""
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get(parts.scheme)


def _why(error: Exception, url: str) -> str:
    """A connection that could not be made, in words that say which part of the way failed."""
    place = urlsplit(url).netloc
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return f"the certificate of {place} is not trusted: {_distrust(error.certificate_error)}"
        case aiohttp.ClientConnectorDNSError():
            return f"the name {place} cannot be resolved ({error.os_error})"
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return f"the proxy on the way to {place} does not let us through ({_short(error)})"
        case aiohttp.ClientSSLError():
            return f"no encrypted connection to {place} can be made ({_short(error)})"
        case aiohttp.ConnectionTimeoutError():
            return f"{place} does not take the connection within {TIMEOUT.sock_connect:g} s"
    return f"{place} does not take the connection ({_short(error)})"


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
