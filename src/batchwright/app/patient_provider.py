"""A provider that repeats failed reads, for use cases in which a person waits for the answer."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from batchwright.engine.read_retry import SOON_SECONDS, ReadRetry
from batchwright.errors import ProviderThrottled, ProviderUnavailable
from batchwright.model.call_outcome import Created, Going, Gone, Observed, Rejected, Throttled, Unknown
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.ids import Token
from batchwright.model.ssh_access import SshAccess
from batchwright.model.update_behavior import FieldWay
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import (
    ChangesServers,
    Provider,
    ProviderHealthReport,
    Quota,
    Quote,
    ways_of,
    ways_of_each,
)

T = TypeVar("T")


class PatientProvider:
    """The Provider port over another provider. A call that changes something is passed on exactly once."""

    def __init__(self, inner: Provider, looks: ReadRetry, patience: float = SOON_SECONDS) -> None:
        self.name, self.capabilities = inner.name, inner.capabilities
        self._inner, self._looks, self._patience = inner, looks, patience

    def validate(self, config: ServerConfig) -> list[Diagnostic]:
        return self._inner.validate(config)

    async def open(self) -> None:
        """Retry only what the adapter itself calls passing: most failures here are wrong settings."""

        async def call() -> None:
            try:
                await self._inner.open()
            except ProviderUnavailable as error:
                error.passing = bool(error.passing)
                raise

        await self._look(call)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def account(self) -> str:
        return await self._look(self._inner.account)

    async def health(self) -> ProviderHealthReport:
        """The last answer, if none is good."""
        told = ProviderHealthReport(False, f"{self.name} did not answer")

        async def call() -> ProviderHealthReport:
            nonlocal told
            told = await self._inner.health()
            if told.passing and not told.ok:
                raise ProviderUnavailable(told.message, passing=True)
            return told

        seen = await self._looks.look(self._inner, call, patience=self._patience)
        return told if isinstance(seen, Unknown) else seen

    async def quota(self) -> Quota:
        return await self._look(self._inner.quota)

    async def quote(self, requests: Sequence[ServerRequest]) -> Quote | None:
        return await self._look(lambda: self._inner.quote(requests))

    async def resolve(self, configs: Sequence[ServerConfig]) -> list[ServerRequest | list[Diagnostic]]:
        return await self._look(lambda: self._inner.resolve(configs))

    async def quota_after(self, requests: Sequence[ServerRequest]) -> list[Diagnostic]:
        return await self._look(lambda: self._inner.quota_after(requests))

    async def create(self, request: ServerRequest, token: Token) -> Created | Rejected | Unknown:
        return await self._inner.create(request, token)

    async def find(self, run: str | None = None, token: str | None = None) -> list[Observed]:
        return await self._look(lambda: self._inner.find(run, token))

    async def describe(self, refs: Sequence[str]) -> dict[str, Observed]:
        return await self._look(lambda: self._inner.describe(refs))

    async def access(self, refs: Sequence[str]) -> dict[str, SshAccess]:
        return await self._look(lambda: self._inner.access(refs))

    async def destroy(self, ref: str) -> Gone | Going | Rejected | Unknown:
        return await self._inner.destroy(ref)

    def ways(self, observed: Observed, request: ServerRequest) -> Mapping[str, FieldWay]:
        return ways_of(self._inner, observed, request)

    async def ways_of_each(self, pairs: Sequence[tuple[Observed, ServerRequest]]) -> Sequence[Mapping[str, FieldWay]]:
        return await self._look(lambda: ways_of_each(self._inner, pairs))

    async def change(
        self, ref: str, request: ServerRequest, before: ServerRequest
    ) -> Created | Going | Rejected | Unknown:
        assert isinstance(self._inner, ChangesServers), f"{self.name} changes no servers: its ways say so"
        return await self._inner.change(ref, request, before)

    async def _look(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The answer, or the last error: ProviderUnavailable, or whatever the adapter raised."""
        failed: list[Exception] = []

        async def attempt() -> T:
            try:
                return await call()
            except Exception as error:
                failed[:] = [error]
                raise

        seen = await self._looks.look(self._inner, attempt, patience=self._patience)
        if not isinstance(seen, Unknown):
            return seen
        if failed:
            raise failed[0]
        if isinstance(seen, Throttled):
            raise ProviderThrottled(seen.reason, retry_after=seen.retry_after)
        raise ProviderUnavailable(f"{self.name}: {seen.reason}", hint="Try again in a moment.", passing=True)
