"""The calls about task services: the catalogue, and where its entries are installed."""

from __future__ import annotations

from litestar import get
from litestar.di import NamedDependency
from msgspec import Struct

from batchwright.api.openapi import problems
from batchwright.app.taskserv_catalogue import taskserv_offers
from batchwright.model.taskserv import Taskserv
from batchwright.service.run_supervisor import RunSupervisor
from batchwright.views.taskserv_environments import TaskservEnvironment, taskserv_environments


class Taskservs(Struct, frozen=True):
    """The task services that can be installed."""

    taskservs: list[Taskserv]


class TaskservPlaces(Struct, frozen=True):
    """The environments that have a task service installed, by the name of its catalogue entry."""

    taskservs: dict[str, tuple[TaskservEnvironment, ...]]


@get("/v1/taskservs/environments", responses=problems(), tags=["What there is"])
async def taskserv_places(supervisor: NamedDependency[RunSupervisor]) -> TaskservPlaces:
    """Which environments have which task services installed, as of the newest finished run of each."""
    found = [one for journal in await supervisor.stores.readable() for one in await journal.all_resources()]
    return TaskservPlaces(taskserv_environments(found))


@get("/v1/taskservs", sync_to_thread=True, responses=problems(), tags=["What there is"])
def taskservs(supervisor: NamedDependency[RunSupervisor]) -> Taskservs:
    """The task services that can be installed."""
    return Taskservs(taskserv_offers(supervisor.settings))
