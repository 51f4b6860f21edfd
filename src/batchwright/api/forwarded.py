"""Where a request really came from, as the operator's proxies say. What anybody else says about it is not believed."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from batchwright.api.connection_peer import KEY, ConnectionPeer

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
PASSED_ON = (b"forwarded", b"via", b"x-forwarded-for")  # headers that only a proxy sends


class ForwardedMiddleware:
    """Gives a request of a trusted proxy the address and the scheme that it names (X-Forwarded-For, -Proto).

    Each proxy appends the address of its own client, so the last one that is not a proxy of ours is who asked.
    """

    def __init__(self, app: ASGIApp, proxies: Sequence[str]) -> None:
        self._app = app
        self._proxies: tuple[Network, ...] = tuple(map(ipaddress.ip_network, proxies))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == ScopeType.HTTP:
            end: ConnectionPeer | None = scope.get("state", {}).get(KEY)
            if end is not None and end.unix is None and self._trusts(address_of(end.address)):
                named = _values(scope["headers"], b"x-forwarded-for")
                scheme = _values(scope["headers"], b"x-forwarded-proto")
                came = next((one for one in reversed(named) if not self._trusts(address_of(one))), "")
                told = scheme[-1] if scheme else scope["scheme"]  # one that says nothing may itself have come by TLS
                inner = {**scope, "scheme": told if told in ("http", "https") else "http"}
                if came:
                    known = address_of(came)
                    address = str(known) if known is not None else "unknown"
                    inner["client"] = (address, 0)
                    inner["state"] = {**scope.get("state", {}), KEY: end.behind(address)}
                await self._app(inner, receive, send)  # type: ignore[arg-type]
                return
        await self._app(scope, receive, send)

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._proxies)


def was_passed_on(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a proxy says that it sent this request for somebody else."""
    return any(name.lower() in PASSED_ON for name, _ in headers)


def address_of(text: str) -> Address | None:
    """The address in an entry of X-Forwarded-For, which may have a port; None if there is none."""
    word = text.strip()
    host = (
        word[1:].partition("]")[0] if word.startswith("[") else word.partition(":")[0] if word.count(":") == 1 else word
    )
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found


def _values(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> list[str]:
    """All values of a list header, in order."""
    found = ",".join(value.decode("latin-1") for name, value in headers if name.lower() == wanted)
    return [one.strip() for one in found.split(",") if one.strip()]
