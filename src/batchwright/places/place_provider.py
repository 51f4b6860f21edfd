"""The provider port whose adapter, credentials and keys are at a place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from batchwright.errors import PlaceRefused, PlaceUnreachable
from batchwright.model.call_outcome import Created, Going, Gone, Observed, Rejected, Unknown
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.ids import Token
from batchwright.model.plan import Guard
from batchwright.model.ssh_access import SshAccess
from batchwright.model.update_behavior import FieldWay
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.places import codec
from batchwright.places.carrier import START_SECONDS
from batchwright.places.place_link import PlaceLink, refusal
from batchwright.providers.base import Attached, Capabilities, ProviderHealthReport, Quota, Quote

END_SECONDS = 5.0  # within which a call is over that its caller gave up, or whose worker was lost

BEFORE_OPEN = Capabilities(Guard.LABEL_ONLY, settle_seconds=600.0, call_timeout=60.0 + START_SECONDS)


class PlaceProvider:
    """A Provider at a place. A call that was certainly not begun there is Rejected; one whose answer is lost raises."""

    def __init__(self, name: str, link: PlaceLink) -> None:
        self.name, self.capabilities = name, BEFORE_OPEN
        self.at = link.place
        self._link = link
        self._limit = BEFORE_OPEN.call_timeout - START_SECONDS

    def validate(self, _config: ServerConfig) -> list[Diagnostic]:
        """Nothing is known without asking the place; `resolve` says what is wrong."""
        return []

    async def open(self) -> None:
        """Ask what the adapter there promises. Raises ProviderUnavailable."""
        traits: codec.ProviderTraits = await self._ask("traits")
        self._limit = traits.capabilities.call_timeout
        self.capabilities = at_distance(traits.capabilities, self.at)

    async def aclose(self) -> None:
        """The adapter stays open at the place."""

    async def account(self) -> str:
        return str(await self._ask("account"))

    async def health(self) -> ProviderHealthReport:
        told: ProviderHealthReport = await self._ask("health")
        return told

    async def quota(self) -> Quota:
        told: Quota = await self._ask("quota")
        return told

    async def quote(self, requests: Sequence[ServerRequest]) -> Quote | None:
        told: Quote | None = await self._ask("quote", requests=requests)
        return told

    async def resolve(self, configs: Sequence[ServerConfig]) -> list[ServerRequest | list[Diagnostic]]:
        told: list[ServerRequest | list[Diagnostic]] = await self._ask("resolve", configs=configs)
        return told

    async def quota_after(self, requests: Sequence[ServerRequest]) -> list[Diagnostic]:
        told: list[Diagnostic] = await self._ask("quota_after", requests=requests)
        return told

    async def create(self, request: ServerRequest, token: Token) -> Created | Rejected | Unknown:
        answer: Created | Rejected | Unknown = await self._change(
            "create", f"{token.run}/{token.value}", request=request, token=token
        )
        return answer

    async def find(self, run: str | None = None, token: str | None = None) -> list[Observed]:
        seen: list[Observed] = await self._ask("find", run=run, token=token)
        return seen

    async def describe(self, refs: Sequence[str]) -> dict[str, Observed]:
        seen: dict[str, Observed] = await self._ask("describe", refs=refs)
        return seen

    async def access(self, refs: Sequence[str]) -> dict[str, SshAccess]:
        told: dict[str, SshAccess] = await self._ask("access", refs=refs)
        return told

    async def destroy(self, ref: str) -> Gone | Going | Rejected | Unknown:
        answer: Gone | Going | Rejected | Unknown = await self._change("destroy", self.name, ref=ref)
        return answer

    async def attached(self, refs: Sequence[str]) -> list[Attached]:
        """As the adapter there says; nothing if it shows none."""
        told: list[Attached] = await self._ask("attached", refs=refs)
        return told

    def ways(self, _observed: Observed, _request: ServerRequest) -> Mapping[str, FieldWay]:
        """Raises TypeError: the adapter there has to be asked, with `ways_of_each`."""
        raise TypeError(f"{self.name} is at {self.at}: its ways are asked with ways_of_each")

    async def ways_of_each(self, pairs: Sequence[tuple[Observed, ServerRequest]]) -> Sequence[Mapping[str, FieldWay]]:
        """The ways of all these servers, in one call."""
        if not pairs:
            return ()
        told: Sequence[Mapping[str, FieldWay]] = await self._ask("ways_of_each", pairs=tuple(pairs))
        return told

    async def change(
        self, ref: str, request: ServerRequest, before: ServerRequest
    ) -> Created | Going | Rejected | Unknown:
        answer: Created | Going | Rejected | Unknown = await self._change(
            "change", self.name, ref=ref, request=request, before=before
        )
        return answer

    async def _ask(self, method: str, **given: object) -> Any:
        return await self._link.ask(codec.PROVIDER, method, self.name, given, limit=self._limit)

    async def _change(self, method: str, about: str, **given: object) -> Any:
        try:
            return await self._link.ask(codec.PROVIDER, method, self.name, given, limit=self._limit, about=about)
        except (PlaceUnreachable, PlaceRefused) as error:
            return refusal(error)


def at_distance(known: Capabilities, place: str) -> Capabilities:
    """What an adapter at a place promises here: a call may wait until it is taken, and go on after its caller died.

    So a create in doubt is looked for longer: until a call that was sent can no longer be under way there. Where its
    caller saw that it is over, that long wait is not needed; END_SECONDS are for what was on its way.

    >>> far = at_distance(Capabilities(Guard.LABEL_ONLY, settle_seconds=30.0, call_timeout=20.0), "madrid")
    >>> far.settle_seconds, far.settle_seconds - far.outlives_seconds
    (60.0, 35.0)
    """
    timeout = known.call_timeout + START_SECONDS
    settle = known.settle_seconds
    visible = settle if known.visible_seconds is None else known.visible_seconds  # listings lag there as anywhere
    return replace(
        known,
        call_timeout=timeout,
        settle_seconds=settle + timeout,
        outlives_seconds=timeout - END_SECONDS,
        visible_seconds=visible,
        at=place,
    )
