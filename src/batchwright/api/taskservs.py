"""The call that lists the task services."""

from __future__ import annotations

from litestar import get
from litestar.di import NamedDependency
from msgspec import Struct

from batchwright.api.openapi import problems
from batchwright.app.taskserv_catalogue import taskserv_offers
from batchwright.model.taskserv import Taskserv
from batchwright.service.run_supervisor import RunSupervisor


class Taskservs(Struct, frozen=True):
    """The task services that can be installed."""

    taskservs: list[Taskserv]


@get("/v1/taskservs", sync_to_thread=True, responses=problems(), tags=["What there is"])
def taskservs(supervisor: NamedDependency[RunSupervisor]) -> Taskservs:
    """The task services that can be installed."""
    return Taskservs(taskserv_offers(supervisor.settings))
