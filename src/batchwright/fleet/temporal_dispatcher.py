"""Starts the workflow that has a run driven by a worker. Its id is the run's, so that there is at most one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Container
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import IndexedValueType, TaskQueueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.service import RPCError

from batchwright.app.backing_services import TemporalConfig
from batchwright.app.multi_store import SHARED
from batchwright.errors import TemporalUnavailable
from batchwright.fleet.connection import CALL_SECONDS, connected, unavailable
from batchwright.fleet.drive_workflow import ENVIRONMENT, STATUS, DriveWorkflow
from batchwright.model.environment import REAL
from batchwright.model.run_summary import RunSummary
from batchwright.views.text_format import counted

POLL_SECONDS = timedelta(seconds=90)  # within which a worker that lives asks for work again


class TemporalDispatcher:
    """Dispatches the runs of `stores`. The connection is made at the first call, and again after a loss."""

    def __init__(self, config: TemporalConfig, stores: Container[str] = SHARED) -> None:
        self._config = config
        self._stores = stores
        self._client: Client | None = None
        self._prepared = False

    def takes(self, store: str) -> bool:
        """See RunDispatcher."""
        return store in self._stores

    async def dispatch(self, row: RunSummary, *, wake: bool = False) -> None:
        """See RunDispatcher."""
        async with self._calls() as client:
            if not self._prepared:
                await declare_search_attributes(client)
                self._prepared = True
            await client.start_workflow(
                DriveWorkflow.run,
                row.run,
                id=row.run,
                task_queue=self._config.runs_queue,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                search_attributes=_attributes(row),
                static_summary=f"{row.environment or row.workflow}: {counted(row.steps, 'step')}",
                start_signal="wake" if wake else None,
                rpc_timeout=CALL_SECONDS,
            )

    async def trouble(self) -> str:
        """See RunDispatcher."""
        queue = self._config.runs_queue
        async with self._calls() as client:
            wanted = DescribeTaskQueueRequest(
                namespace=client.namespace,
                task_queue=TaskQueue(name=queue),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            )
            found = await client.workflow_service.describe_task_queue(wanted, timeout=CALL_SECONDS)
        polled = max((one.last_access_time.ToDatetime(UTC) for one in found.pollers), default=None)
        if polled is not None and datetime.now(UTC) - polled < POLL_SECONDS:
            return ""
        return f"no worker takes runs from the queue {queue} (start one: batchwright worker)"

    @asynccontextmanager
    async def _calls(self) -> AsyncIterator[Client]:
        """The client for some calls. Raises TemporalUnavailable for what they raise."""
        if self._client is None:
            self._client = await connected(self._config, lazy=True)
        try:
            yield self._client
        except (RPCError, RuntimeError) as error:
            raise unavailable(self._config, error) from error


def _attributes(row: RunSummary) -> TypedSearchAttributes:
    key = row.environment_key
    return TypedSearchAttributes(
        [
            SearchAttributePair(ENVIRONMENT, key.name if key.space == REAL else f"{key.name} ({key.space})"),
            SearchAttributePair(STATUS, row.status.value),
        ]
    )


async def declare_search_attributes(client: Client) -> None:
    """Make the namespace know the fields by which its screen finds runs. Raises TemporalUnavailable, RPCError."""
    service = client.operator_service
    known = await service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace), timeout=CALL_SECONDS
    )
    missing = {key.name for key in (ENVIRONMENT, STATUS)} - set(known.custom_attributes)
    if not missing:
        return
    keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    wanted = AddSearchAttributesRequest(
        namespace=client.namespace, search_attributes=dict.fromkeys(sorted(missing), keyword)
    )
    try:
        await service.add_search_attributes(wanted, timeout=CALL_SECONDS)
    except RPCError as error:
        names = " ".join(f"--name {name}" for name in sorted(missing))
        raise TemporalUnavailable(
            f"the namespace {client.namespace} lacks search attributes, and they cannot be added: {error.message}",
            hint=f"Let its operator add them: temporal operator search-attribute create {names} --type Keyword",
        ) from error
