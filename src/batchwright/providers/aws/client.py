"""boto3 in threads: one session, one client per service and region, and calls that can be awaited.

A call that changes something is sent once. A thread cannot be stopped, so every call ends by its own time-outs. A call
that is cancelled continues unobserved: its outcome is unknown.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import BotoCoreError, NoCredentialsError
from botocore.parsers import ResponseParserError

from batchwright.providers.aws.settings import AwsSettings

FALLBACK_REGION = "us-east-1"  # for questions that are not about a region
READ_TRIES = 3
NOT_NEEDED = ("pricing", "service-quotas")  # services that no run depends on
SPARE_SECONDS = 5.0
READINGS_MAX = 5  # of a listing whose order changed while it was read

T = TypeVar("T")
Answer = dict[str, Any]


class Incomplete(BotoCoreError):  # type: ignore[misc]
    """A listing that may be incomplete."""

    fmt = "{told}"

    def __init__(self, told: str) -> None:
        super().__init__(told=told)


def _only_aws(*, operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
    """Refuse a success response whose body does not answer this operation.

    botocore reads any XML, even a captive portal's page, as an empty answer, and an empty listing would mean that
    everything is gone.
    """
    if response_dict["status_code"] < 300:
        begin = rb"\s*(<\?xml[^>]*>\s*)?<%sResponse[\s>]" % operation_model.name.encode()
        if not re.match(begin, response_dict["body"]):
            raise ResponseParserError(f"no answer to {operation_model.name}")


def _repeats(rows: list[Any]) -> bool:
    """Whether a row occurs twice: then the order changed between two pages, and another row was missed."""
    keys = [_identity(row) for row in rows]
    return len(set(keys)) < len(keys)


def _identity(row: Any) -> str:
    if "Instances" in row:
        return " ".join(one["InstanceId"] for one in row["Instances"])
    key = next((key for key in ("VolumeId", "NetworkInterfaceId", "GroupId", "SubnetId") if key in row), "")
    return str(row[key]) if key else json.dumps(row, sort_keys=True, default=str)


class AwsClient:
    """Opened once, and used from one event loop."""

    def __init__(self, settings: AwsSettings) -> None:
        self._settings = settings
        self._session: Any = None
        self._clients: dict[tuple[str, str, bool], Any] = {}
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Find credentials. Raises botocore's exceptions."""
        self._pool = ThreadPoolExecutor(self._settings.concurrency, thread_name_prefix="aws")
        await self._in_thread(self._begin)

    def _begin(self) -> None:
        self._session = boto3.Session(profile_name=self._settings.profile or None)
        for service in ("ec2", "sts"):
            self._session.events.register(f"before-parse.{service}", _only_aws)
        if self._settings.role:
            self._take_on(self._settings.role)
        if self._session.get_credentials() is None:
            raise NoCredentialsError

    def _take_on(self, role: str) -> None:
        inner = self._session._session  # boto3 has no API to give a session refreshable credentials
        own = inner.get_credentials()
        if own is None:
            raise NoCredentialsError
        create = partial(inner.create_client, endpoint_url=self._settings.endpoint_url or None)
        fetcher = AssumeRoleCredentialFetcher(create, own, role, extra_args={"RoleSessionName": "batchwright"})
        inner._credentials = DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")

    @property
    def home(self) -> str:
        """The region for questions that are not about a region."""
        named = self._settings.named_regions
        return str(self._session.region_name or (named[0] if named else FALLBACK_REGION))

    async def change(self, region: str, operation: str, **arguments: Any) -> Answer:
        """Send once a call that may change something. Raises botocore's exceptions."""
        return await self._in_thread(lambda: self._send("ec2", region, operation, arguments, once=True))

    async def read(self, region: str, operation: str, *, service: str = "ec2", **arguments: Any) -> Answer:
        """Send a read-only call. Raises botocore's exceptions."""
        return await self._in_thread(lambda: self._send(service, region, operation, arguments, once=False))

    async def listing(self, region: str, operation: str, key: str, **arguments: Any) -> list[Any]:
        """The rows under `key`, of all pages. Raises botocore's exceptions; never returns a partial listing."""
        return await self._in_thread(lambda: self._list(region, operation, key, arguments))

    def _send(self, service: str, region: str, operation: str, arguments: Answer, *, once: bool) -> Answer:
        answer: Answer = getattr(self._client(service, region, once), operation)(**arguments)
        return answer

    def _list(self, region: str, operation: str, key: str, arguments: Answer) -> list[Any]:
        client = self._client("ec2", region, once=False)
        if not client.can_paginate(operation):
            return list(getattr(client, operation)(**arguments)[key])
        for _ in range(READINGS_MAX):
            pages = [page.get(key, ()) for page in client.get_paginator(operation).paginate(**arguments)]
            found = [row for page in pages for row in page]
            if len(pages) < 2 or not _repeats(found):
                return found
        raise Incomplete(f"the listing {operation} in {region} changes its order: it was never complete")

    def _client(self, service: str, region: str, once: bool) -> Any:
        """A client. Threads may share clients, but must not create two at a time."""
        with self._lock:
            wanted = (service, region, once)
            if wanted not in self._clients:
                here = self._settings
                spare = service in NOT_NEEDED
                config = Config(
                    retries={"mode": "standard", "total_max_attempts": 1 if once or spare else READ_TRIES},
                    connect_timeout=min(here.connect_seconds, SPARE_SECONDS) if spare else here.connect_seconds,
                    read_timeout=min(here.read_seconds, SPARE_SECONDS) if spare else here.read_seconds,
                    max_pool_connections=here.concurrency,
                    user_agent_extra="batchwright",
                )
                endpoint = here.endpoint_url or None
                self._clients[wanted] = self._session.client(service, region, config=config, endpoint_url=endpoint)
            return self._clients[wanted]

    async def _in_thread(self, work: Callable[[], T]) -> T:
        assert self._pool is not None, "the provider is not open"
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Close connections; calls in progress end by themselves. May be called twice."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
        with self._lock:
            clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            client.close()
