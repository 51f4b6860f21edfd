"""Probes over real connections: every wait is bounded, what comes back is data, and only checked addresses are used.

No proxy is used, no cookie is kept, nothing is decompressed, certificates are verified. Each hop of a redirect is
looked up and checked like the first one, and the connection goes to the address that was checked.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from batchwright.errors import SecretMissing
from batchwright.host_lookup import HostLookup, Resolve
from batchwright.model.call_outcome import CheckResult, Rejected
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.receiver_url import Address, address_refusal, is_listed, literal_address
from batchwright.model.secret_reference import SecretReference
from batchwright.operations.check import CheckRequest, HttpCheck, Redirects, TcpCheck
from batchwright.printable import shortened
from batchwright.probes.base import CONNECT_SECONDS, ProbeContext
from batchwright.redaction import Redactor, masked, secrets_in_environment
from batchwright.secret_resolver import Reveal, revealed

LOOK_SECONDS = 10.0  # for one look: all of its redirects together
ADDRESSES_MOST = 3
REDIRECTS_MOST = 5
SHOWN_MOST = 200  # characters of an answer that are shown
REDIRECTS = frozenset({301, 302, 303, 307, 308})


class _AddressRefused(Exception):
    """An untrusted workflow may not have this host contacted."""


class _UrlUnfit(Exception):
    """The URL names no host that can be contacted."""


def _host_and_port(url: Any) -> tuple[str, int] | None:
    """What to contact for a URL, None if it names no host that can be."""
    if url.scheme not in ("http", "https") or url.raw_user is not None or not (url.raw_host and url.port):
        return None
    return url.raw_host, url.port


class NetworkProber:
    """Looks from this machine. `private_hosts` are contacted for untrusted workflows although they are not public."""

    def __init__(
        self,
        private_hosts: Sequence[str],
        environ: Mapping[str, str],
        reveal: Reveal,
        resolve: Resolve | None = None,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._private_hosts = private_hosts
        self._environ = environ
        self._reveal = reveal
        self._resolve = resolve or HostLookup()
        self._look_seconds = look_seconds

    async def probe(self, request: CheckRequest, context: ProbeContext) -> CheckResult | Rejected:
        seconds = min(self._look_seconds, context.seconds)
        kind = "tcp" if request.tcp is not None else "http"
        try:
            headers, redact = await self._headers(request.http) if request.http is not None else ({}, Redactor(()))
        except (SecretMissing, ValueError) as error:
            return Rejected(Fault(FaultClass.INVALID, str(error), getattr(error, "code", "")))
        try:
            async with asyncio.timeout(seconds):
                if request.tcp is not None:
                    return await self._connect(request.tcp, context)
                assert request.http is not None
                return await self._get(request.http, headers, redact, context, seconds)
        except _UrlUnfit as error:
            hint = "Look at the values in it: batchwright explain RUN STEP"
            return Rejected(Fault(FaultClass.INVALID, str(error), "url-unfit", hint))
        except TimeoutError:
            seen = f"no answer within {seconds:.3g} s"
        except _AddressRefused as error:
            hint = "The operator can allow it in config.toml: [checks] private_hosts = [...]"
            return Rejected(Fault(FaultClass.INVALID, str(error), "address-not-allowed", hint))
        except Exception as error:
            seen = shortened(redact.shown(_why(error)), SHOWN_MOST)
        return CheckResult(kind, False, seen)

    async def _headers(self, http: HttpCheck) -> tuple[dict[str, str], Redactor]:
        """The headers with their secrets, and what keeps these out of every text. Raises SecretMissing, ValueError."""
        headers, secrets = {}, secrets_in_environment(self._environ)
        for name, value in http.headers.items():
            if isinstance(value, SecretReference):
                text = await revealed(value, self._reveal)
                secrets.add(text)
                if not text.isprintable():
                    raise ValueError(f"the secret of the header {name} has characters that a header cannot hold")
                value = text
            headers[name] = value
        return headers, Redactor(secrets)

    async def _addresses(self, host: str, port: int, context: ProbeContext) -> Sequence[Address]:
        """The addresses to connect to, each of them allowed. Raises OSError, ValueError, _AddressRefused."""
        literal = literal_address(host)
        found = [literal] if literal is not None else await self._resolve(host, port)
        if not found:
            raise OSError(f"{host} has no address")
        for one in found if context.restricted else ():
            if str(one) in context.servers or is_listed(host, one, self._private_hosts):
                continue
            if why := address_refusal(one):
                raise _AddressRefused(f"a workflow of a client may not look at {host}: it is {one}, {why}")
        return found[:ADDRESSES_MOST]

    async def _connect(self, tcp: TcpCheck, context: ProbeContext) -> CheckResult:
        addresses = await self._addresses(tcp.host, tcp.port, context)
        seen = ""
        for address in addresses:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    _, writer = await asyncio.open_connection(str(address), tcp.port)
            except TimeoutError:
                seen = f"{address} did not accept a connection within {CONNECT_SECONDS:g} s"
            except OSError as error:
                seen = f"{address}: {_why(error)}"
            else:
                writer.transport.abort()
                return CheckResult("tcp", True, f"{address} accepts connections")
        return CheckResult("tcp", False, seen)

    async def _get(
        self, http: HttpCheck, headers: dict[str, str], redact: Redactor, context: ProbeContext, seconds: float
    ) -> CheckResult:
        from batchwright.probes.http_get import URL, get

        first = url = URL(http.url, encoded=True)
        if _host_and_port(url) is None:  # made so by a value of this run: another look would find the same
            raise _UrlUnfit(
                f"{shortened(masked(redact.shown(http.url)), SHOWN_MOST)} is not a URL that can be contacted"
            )
        for _ in range(REDIRECTS_MOST + 1):
            if (place := _host_and_port(url)) is None:
                raise ValueError("the redirect leads to a URL that cannot be contacted")
            addresses = await self._addresses(*place, context)
            own = headers if url.origin() == first.origin() else {}
            limits = http.contains.encode() or None, SHOWN_MOST, seconds
            status, onwards, body = await get(url, own, addresses, *limits)
            if status == http.status or status not in REDIRECTS or http.redirects is Redirects.NONE or not onwards:
                return _judged(http, status, onwards, body, redact)
            following = url.join(URL(onwards, encoded=True))
            if http.redirects is Redirects.SAME_HOST and following.raw_host != first.raw_host:
                seen = f"{status}, a redirect to another host: {onwards}"
                return CheckResult("http", False, shortened(redact.shown(seen), SHOWN_MOST))
            url = following
        return CheckResult("http", False, f"more than {REDIRECTS_MOST} redirects")


def _judged(http: HttpCheck, status: int, onwards: str, body: bytes, redact: Redactor) -> CheckResult:
    told = redact.of_bytes(body).decode("utf-8", errors="replace")
    if status != http.status:
        more = f" ({onwards})" if onwards else f": {told}" if told.strip() else ""
        seen = f"{status} instead of {http.status}{more}"
    elif http.contains and http.contains.encode() not in body:
        seen = f'{status} without "{http.contains}": {told}'
    else:
        return CheckResult("http", True, str(status))
    return CheckResult("http", False, shortened(" ".join(redact.shown(seen).split()), SHOWN_MOST))


def _why(error: BaseException) -> str:
    """Why there was no answer, in words that name what failed."""
    reason: Any = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    if isinstance(reason, ssl.SSLError):
        return f"no secure connection: {getattr(reason, 'verify_message', '') or reason.reason or 'TLS failed'}"
    number = getattr(reason, "errno", None)
    if isinstance(number, int) and number > 0:
        with suppress(ValueError, OverflowError):
            return os.strerror(number)
    return str(reason) or type(reason).__name__
