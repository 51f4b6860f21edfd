"""The prober port: one look at what answers over HTTP or TCP, from this machine."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from batchwright.model.call_outcome import CheckResult, Rejected
from batchwright.operations.check import CheckRequest

CONNECT_SECONDS = 4.0  # for one address, so that another can be tried


class ProbeContext(Struct, frozen=True):
    """The circumstances of one look, which lasts at most `seconds`.

    `restricted`: the check is of an untrusted workflow, so only public addresses are contacted, those that the operator
    allows, and `servers`: the addresses of servers that the run created or keeps.
    """

    step: str
    mark: str
    seconds: float
    restricted: bool = False
    servers: frozenset[str] = frozenset()


class Prober(Protocol):
    """Looks once at what `request.http` or `request.tcp` names. Any exception counts as an unknown outcome."""

    async def probe(self, request: CheckRequest, context: ProbeContext) -> CheckResult | Rejected:
        """What is seen, in words that hold no secret; `Rejected` if looking again cannot help."""
        ...
