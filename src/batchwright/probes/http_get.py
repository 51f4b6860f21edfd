"""One GET over a connection of its own to an address that was checked. No redirect, proxy, cookie or cache is used."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from batchwright.model.receiver_url import Address
from batchwright.probes.base import CONNECT_SECONDS

__all__ = ["BODY_MOST", "URL", "get"]

BODY_MOST = 1024 * 1024  # bytes in which a text is looked for
USUAL = {"User-Agent": "batchwright", "Accept": "*/*", "Accept-Encoding": "identity"}


class _Checked(AbstractResolver):
    """Gives only these addresses, whatever it is asked for."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        families = {4: socket.AF_INET, 6: socket.AF_INET6}
        found = [(str(one), families[one.version]) for one in self._addresses]
        return [
            ResolveResult(hostname=host, host=one, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for one, kind in found
            if family in (socket.AF_UNSPEC, kind)
        ]

    async def close(self) -> None:
        """Nothing is open."""


async def get(
    url: URL, headers: Mapping[str, str], addresses: Sequence[Address], text: bytes | None, least: int, seconds: float
) -> tuple[int, str, bytes]:
    """The status, the Location and the beginning of the body: up to where `text` stands, at most BODY_MOST bytes.

    Without a text, `least` bytes of the body are enough. Raises aiohttp.ClientError, OSError, TimeoutError, ValueError.
    """
    connector = aiohttp.TCPConnector(resolver=_Checked(addresses), use_dns_cache=False, force_close=True, limit=1)
    timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
    named = {name.lower() for name in headers}
    sent = {**{name: one for name, one in USUAL.items() if name.lower() not in named}, **headers}
    async with (
        aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        ) as session,
        session.get(url, headers=sent, allow_redirects=False) as response,
    ):
        body = bytearray()
        async for part in response.content.iter_any():
            begin = max(0, len(body) - len(text or b""))
            body += part
            if len(body) >= BODY_MOST or (len(body) >= least if text is None else text in body[begin:]):
                break
        response.close()  # what else comes is not waited for
        return response.status, response.headers.get("Location", ""), bytes(body[:BODY_MOST])
