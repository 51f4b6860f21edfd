"""Where a service listens, as it is given in variables and written into configuration files. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

PORT_MAX = 65535


def endpoint(address: str, port: int) -> str:
    """An address with its port: `10.0.0.5:80`, `[fd00::5]:80`."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def endpoints(given: Iterable[str], port: int) -> list[str]:
    """Endpoints from what a list variable holds: `HOST:PORT`, or `HOST`, an address or a name, with the port beside it.

    Raises ValueError for what is neither, and for what stands there twice.
    """
    found: list[str] = []
    for text in given:
        host, own = _parts(text)
        number = int(own) if own else port
        if not 1 <= number <= PORT_MAX:
            raise ValueError(f"{text}: a port is a number from 1 to {PORT_MAX}")
        if endpoint(host, number) in found:
            raise ValueError(f"{text} is listed twice")
        found.append(endpoint(host, number))
    return found


def _parts(text: str) -> tuple[str, str]:
    """Host and port; no port is an empty text."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if bracket and _is_ipv6(host) and (not rest or rest[0] == ":"):
            return host, _number(text, rest[1:])
    elif _is_ipv6(text):
        return text, ""
    else:
        host, colon, rest = text.partition(":")
        if host.replace(".", "").replace("-", "").replace("_", "").isalnum() and host.isascii():
            return host, _number(text, rest) if colon else ""
    raise ValueError(f"{text} is no address, with or without a port")


def _number(text: str, digits: str) -> str:
    if digits and not (digits.isdecimal() and digits.isascii()):
        raise ValueError(f"{text}: a port is a number from 1 to {PORT_MAX}")
    return digits


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
