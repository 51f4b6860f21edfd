"""Calls about the service itself: access tokens, the audit trail, leases and lanes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import Struct

from batchwright.api.openapi import problems
from batchwright.app.access_tokens import TokenLine, Tokens, token_line
from batchwright.app.lane_usage import lane_usage
from batchwright.app.lease_list import leases
from batchwright.model.role import Role
from batchwright.service.audit_pages import LIMIT_MOST, AuditPage, AuditQuery
from batchwright.service.run_supervisor import RunSupervisor
from batchwright.service.shared_audit import any_audit_page
from batchwright.views.lanes import LaneLine
from batchwright.views.leases import LeaseLine

ADMIN: dict[str, Any] = {"opt": {"role": Role.ADMIN}, "responses": problems(), "tags": ["Service"]}


class TokenList(Struct, frozen=True):
    """Every access token, the newest first: revoked and expired ones too."""

    items: tuple[TokenLine, ...]


class LeaseList(Struct, frozen=True):
    """The leases of the runs that have not ended, the newest run first."""

    items: tuple[LeaseLine, ...]


class LaneList(Struct, frozen=True):
    """The lanes that the runs driven now use."""

    items: tuple[LaneLine, ...]


@get("/v1/tokens", sync_to_thread=True, **ADMIN)
def list_tokens(supervisor: NamedDependency[RunSupervisor]) -> TokenList:
    """The access tokens: name, role, and until when they are valid. Never a secret."""
    now = supervisor.clock.now()
    return TokenList(tuple(token_line(one, now) for one in reversed(Tokens(supervisor.settings).all())))


@get("/v1/audit", **ADMIN)
async def audit(
    supervisor: NamedDependency[RunSupervisor],
    who: Annotated[str, QueryParameter(description="Only requests of this caller.", max_length=64)] = "",
    run: Annotated[str, QueryParameter(description="Only about the run whose id begins so.", max_length=64)] = "",
    find: Annotated[str, QueryParameter(description="Only lines that hold this text, in any case.", max_length=300)] = (
        ""
    ),
    before: Annotated[
        int | None, QueryParameter(ge=0, le=2**53, description="The `before` of the previous page.")
    ] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=LIMIT_MOST, description="The largest number of lines.")] = 100,
) -> AuditPage:
    """The audit trail, the newest line first: who asked for which change, and how it was answered."""
    query = AuditQuery(who, run, find, before, limit)
    return await any_audit_page(supervisor.settings, supervisor.stores, query)


@get("/v1/leases", responses=problems(), tags=["Service"])
async def list_leases(supervisor: NamedDependency[RunSupervisor]) -> LeaseList:
    """Who holds each run that has not ended, with its fence, and whose turn it is in which environment."""
    return LeaseList(await leases(supervisor.stores, supervisor.clock))


@get("/v1/lanes", responses=problems(), tags=["Service"])
async def list_lanes(supervisor: NamedDependency[RunSupervisor]) -> LaneList:
    """How much of each account's limits is used: calls in flight, rates, what is throttled, and what waits."""
    return LaneList(lane_usage(supervisor.driven.values(), supervisor.clock.monotonic()))


HANDLERS: Sequence[Any] = (list_tokens, audit, list_leases, list_lanes)
