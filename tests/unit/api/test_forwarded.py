"""Which address a request counts for when proxies stand before the service."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from batchwright.api.connection_peer import KEY, ConnectionPeer
from batchwright.api.forwarded import ForwardedMiddleware
from batchwright.app.allowed_settings import ServiceConfig
from tests.support.service_in_loop import RUNS, serving

PROXIES = ("10.0.0.0/8", "2001:db8::/32")


def came_from(peer: str, *headers: tuple[str, str], own_scheme: str = "http") -> tuple[str, str, str]:
    """The address of the caller, of the client and the scheme, as the service sees them."""
    seen: dict[str, Any] = {}

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope)

    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    state = {KEY: ConnectionPeer((peer, 5), ("10.9.9.9", 6))}
    scope: Any = {"type": "http", "scheme": own_scheme, "headers": raw, "client": (peer, 5), "state": state}
    asyncio.run(ForwardedMiddleware(inner, PROXIES)(scope, None, None))  # type: ignore[arg-type]
    assert scope["state"][KEY].address == peer  # the next request of the connection may be of somebody else
    return seen["state"][KEY].address, seen["client"][0], seen["scheme"]


@pytest.mark.parametrize(
    ("peer", "named", "expected"),
    [
        ("10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "192.0.2.7:4711", "192.0.2.7"),
        ("10.0.0.1", "[2001:db9::1]:80", "2001:db9::1"),
        ("10.0.0.1", "1.1.1.1, 192.0.2.7", "192.0.2.7"),  # what the client itself sent is not believed
        ("10.0.0.1", "1.1.1.1, 192.0.2.7, 10.0.0.2, 2001:db8::5", "192.0.2.7"),  # through three proxies of ours
        ("10.0.0.1", "10.0.0.2", "10.0.0.1"),  # one of our proxies asks for itself
        ("10.0.0.1", "<script>", "unknown"),
        ("192.0.2.66", "127.0.0.1", "192.0.2.66"),  # no proxy of ours
        ("::ffff:10.0.0.1", "192.0.2.7", "192.0.2.7"),
    ],
)
def test_the_last_address_that_is_no_proxy_of_ours_asks(peer: str, named: str, expected: str) -> None:
    address, client, _ = came_from(peer, ("X-Forwarded-For", named))
    assert (address, client) == (expected, expected)


def test_headers_that_are_given_twice_count_in_their_order() -> None:
    assert came_from("10.0.0.1", ("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "192.0.2.7"))[0] == "192.0.2.7"


def test_the_scheme_is_believed_of_a_proxy_only() -> None:
    assert came_from("10.0.0.1", ("X-Forwarded-Proto", "https"))[2] == "https"
    assert came_from("10.0.0.1", ("X-Forwarded-Proto", "gopher"))[2] == "http"
    assert came_from("192.0.2.66", ("X-Forwarded-Proto", "https"))[2] == "http"


def test_a_proxy_that_names_no_scheme_keeps_its_own() -> None:
    assert came_from("10.0.0.1", ("X-Forwarded-For", "192.0.2.7"), own_scheme="https")[2] == "https"
    assert came_from("10.0.0.1", ("X-Forwarded-Proto", "http"), own_scheme="https")[2] == "http"


def test_without_tokens_nobody_gets_in_through_a_proxy(tmp_path: Path) -> None:
    async def main() -> Any:
        async with serving(tmp_path) as service:
            plain = await service.get(RUNS)
            passed_on = await service.get(RUNS, headers={"X-Forwarded-For": "192.0.2.7"})
            return plain.status, passed_on.status, passed_on.json["code"], passed_on.json["hint"]

    status, refused, code, hint = asyncio.run(main())
    assert (status, refused, code) == (200, 403, "forbidden")
    assert "token create" in hint


def test_a_proxy_is_an_address_or_a_network() -> None:
    with pytest.raises(ValueError, match="proxy"):
        ServiceConfig(trusted_proxies=("proxy",))
