"""How the runs of an environment know to log in to their servers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchwright.model.environment import Resource
from batchwright.model.plan import Request, Step
from batchwright.model.run_fold_state import StepFoldState
from batchwright.model.ssh_access import ServerLogin
from batchwright.operations.server_batch import ServerRequest


def planned_login(request: Request) -> ServerLogin:
    """What a plan knows about logging in to a server that it creates or keeps."""
    login = request.login if isinstance(request, ServerRequest) else None
    return login or ServerLogin()


def login_of(step: Step, record: StepFoldState) -> ServerLogin:
    """What a run recorded about logging in to the server of a step."""
    planned = planned_login(step.request)
    return ServerLogin(planned.key, planned.host_keys or record.host_keys)


def recorded_login(resource: Resource) -> ServerLogin:
    """What an environment has recorded about logging in to one of its servers."""
    login: Mapping[str, Any] = resource.request.get("login") or {}
    return ServerLogin(login.get("key", ""), resource.host_keys)
