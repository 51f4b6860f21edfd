"""The URL of a receiver, and which addresses a workflow file may name. Pure: no name is resolved here."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

Address = IPv4Address | IPv6Address

_NAT64 = IPv6Network("64:ff9b::/96")
# Addresses at which clouds serve credentials to the machine, although they look public.
_METADATA = frozenset({ip_address("168.63.129.16")})


class UrlParts(Struct, frozen=True):
    """The parts of a receiver's URL. `target` is what a request names: the path and the query."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """The host as a Host header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = 443 if self.scheme == "https" else 80
        return host if self.port == usual else f"{host}:{self.port}"


def url_parts(url: str) -> UrlParts:
    """The parts of the URL of a receiver. Raises ValueError with the reason if it cannot be one."""
    if not url.isascii() or any(one <= " " or one == "\x7f" for one in url):
        raise ValueError("it may hold only ASCII characters without blanks")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it must begin with https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("it must not hold a user or password: the file would hold a secret in clear")
    if parts.fragment:
        raise ValueError("it must not have a fragment (#)")
    port = parts.port  # raises ValueError itself
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
    return UrlParts(scheme, parts.hostname, port or (443 if scheme == "https" else 80), target)


def address_refusal(address: Address) -> str:
    """Why a workflow file may not name a receiver at this address; empty if it may: a public address.

    An IPv4 address inside an IPv6 one counts as itself.
    """
    inner = _inner(address)
    if inner in _METADATA:
        return "an address of a cloud's metadata service"
    if inner.is_loopback:
        return "an address of the machine itself"
    if inner.is_link_local:
        return "a link-local address, such as those of metadata services"
    if inner.is_multicast or inner.is_unspecified or inner.is_reserved:
        return "no address of a single receiver"
    return "" if inner.is_global else "a private address"


def _inner(address: Address) -> Address:
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)


def literal_address(host: str) -> Address | None:
    """The address that a host is itself; None for a name. Raises ValueError for a number that programs read in
    several ways, such as 0177.1 or 2130706433.
    """
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        last = host.rstrip(".").rpartition(".")[2].lower()
        if last.isdigit() or last.startswith("0x"):
            raise ValueError(f"{host} is neither a host name nor an address") from None
        return None


def is_listed(host: str, address: Address | None, listed: Collection[str]) -> bool:
    """Whether the operator has listed this host by its name, or its address by itself or with its network."""
    name = host.rstrip(".").lower()
    for one in listed:
        if one.rstrip(".").lower() == name:
            return True
        try:
            network = ip_network(one)
        except ValueError:
            continue
        if address is not None and _inner(address) in network:
            return True
    return False
