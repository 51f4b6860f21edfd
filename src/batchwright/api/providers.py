"""The call that lists the providers."""

from __future__ import annotations

from litestar import get
from litestar.di import NamedDependency
from msgspec import Struct

from batchwright.api.openapi import problems
from batchwright.app.provider_capabilities import ProviderOffer, provider_offers
from batchwright.service.run_supervisor import RunSupervisor


class Providers(Struct, frozen=True):
    """The answer: the installed providers."""

    providers: list[ProviderOffer]


@get("/v1/providers", responses=problems(), tags=["What there is"])
async def providers(supervisor: NamedDependency[RunSupervisor]) -> Providers:
    """The installed providers and what each supports.

    A worker at the place of a provider is asked; nothing else is contacted.
    """
    return Providers(await provider_offers(supervisor.settings))
