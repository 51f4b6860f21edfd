"""Calls that look at environments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import get
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter
from msgspec import Struct

from batchwright.api.openapi import problems
from batchwright.app.environment_reader import all_environments, read_environment
from batchwright.model.environment import REAL, SIMULATED
from batchwright.service.run_supervisor import RunSupervisor
from batchwright.views.environment import EnvironmentLine, EnvironmentView

ENVIRONMENTS = "/v1/environments"


class EnvironmentList(Struct, frozen=True):
    """Every environment, ordered by name."""

    items: tuple[EnvironmentLine, ...]


@get(ENVIRONMENTS, responses=problems(), tags=["Environments"])
async def list_environments(supervisor: NamedDependency[RunSupervisor]) -> EnvironmentList:
    """Every environment: what it has, which run is changing it now, and its newest run."""
    return EnvironmentList(await all_environments(supervisor.stores, supervisor.clock))


@get(ENVIRONMENTS + "/{name:path}", responses=problems(404, 409), tags=["Environments"])
async def environment(
    supervisor: NamedDependency[RunSupervisor],
    name: Annotated[
        str, PathParameter(description="NAME of the workflow, or NAME/ENVIRONMENT with one slash.", max_length=200)
    ],
    simulated: Annotated[
        bool | None, QueryParameter(description="Which one, where a real and a simulated one have the name.")
    ] = None,
) -> EnvironmentView:
    """An environment: its servers, what is on them, which run made and last changed each, and whose turn it is."""
    word = name.removeprefix("/")
    if simulated is not None:
        word = f"{SIMULATED if simulated else REAL}:{word}"
    return await read_environment(supervisor.stores, supervisor.clock, word)


HANDLERS: Sequence[Any] = (list_environments, environment)
