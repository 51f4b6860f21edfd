"""What the pre-flight asks a provider about alternatives, and what an account's limits mean for them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from batchwright.app.server_request_resolution import ServerQuestions, resolve_servers, room_problems
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.environment import Resource
from batchwright.model.fault import FaultClass
from batchwright.model.workflow import ServerAlternative, ServerConfig
from batchwright.operations.registry import type_of
from batchwright.operations.server_batch import ServerBatch, ServerRequest
from batchwright.providers.base import Provider
from batchwright.testing.plans import servers

CAPACITY, QUOTA = FaultClass.CAPACITY, FaultClass.QUOTA
CLOUD = ServerAlternative(provider="hetzner", plan="cx22", zone="fsn1")


class Small:
    """A provider with room for so many servers, by what it calls the limit; one of its zones does not exist."""

    def __init__(self, room: int, code: str) -> None:
        self.room, self.code = room, code

    async def resolve(self, configs: Sequence[ServerConfig]) -> list[ServerRequest | list[Diagnostic]]:
        wrong = [Diagnostic("unknown-zone", "there is no such zone", field="zone")]
        return [wrong if one.zone == "nowhere" else ServerRequest(one.name, one.plan, one.zone) for one in configs]

    async def quota_after(self, requests: Sequence[ServerRequest]) -> list[Diagnostic]:
        return [Diagnostic(self.code, f"no room for {len(requests)}")] if len(requests) > self.room else []


def told(provider: str, small: Small, op: ServerBatch, resources: Sequence[Resource] = ()) -> list[tuple[str, bool]]:
    """What is wrong, and whether it is an error."""

    async def ask() -> list[Diagnostic]:
        asked = ServerQuestions.of([(op, type_of(op).wants(op))], provider, resources)
        port = cast(Provider, small)
        resolved = await resolve_servers(port, asked)
        missing = [one for one in resolved.requests.values() if one.name not in asked.elsewhere]
        return [*resolved.problems, *await room_problems(port, asked, resolved, missing)]

    return [
        (f"{one.message} {one.where}.{one.field}".strip(), one.severity is Severity.ERROR) for one in asyncio.run(ask())
    ]


def batch(*names: str, on: tuple[FaultClass, ...] = (CAPACITY,), **rest: Any) -> ServerBatch:
    return servers("up", *names, otherwise=(CLOUD,), otherwise_on=on, **rest)


@pytest.mark.parametrize(
    ("code", "on", "is_error"),
    [
        ("quota", (CAPACITY,), True),
        ("quota", (CAPACITY, QUOTA), False),
        ("capacity", (CAPACITY,), False),
        ("capacity", (QUOTA,), True),
    ],
)
def test_no_room_is_an_error_only_for_servers_that_do_not_move_for_it(
    code: str, on: tuple[FaultClass, ...], is_error: bool
) -> None:
    assert told("upcloud", Small(1, code), batch("a", "b", on=on)) == [("no room for 2 .", is_error)]


def test_limits_of_the_account_of_an_alternative_are_only_a_warning() -> None:
    assert told("hetzner", Small(1, "quota"), batch("a", "b")) == [("no room for 2 .", False)]
    assert told("hetzner", Small(2, "quota"), batch("a", "b")) == []


def test_without_alternatives_it_is_as_ever() -> None:
    assert told("upcloud", Small(1, "quota"), servers("up", "a", "b")) == [("no room for 2 .", True)]


def test_a_server_that_stands_at_an_alternative_needs_no_room_at_the_first_place() -> None:
    had = Resource("server", "a", provider="hetzner", ref="r", run="run-1")
    assert told("upcloud", Small(0, "quota"), batch("a"), [had]) == []


def test_an_alternative_that_does_not_exist_is_told_where_it_stands() -> None:
    op = servers("up", "a", otherwise=(CLOUD, ServerAlternative(zone="nowhere")))
    assert told("upcloud", Small(5, "quota"), op) == [("there is no such zone up.otherwise.1.zone", True)]
