"""Servers as a workflow asks for them, and as a plan creates them."""

from __future__ import annotations

import hashlib
from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from batchwright.model.fault import FaultClass
from batchwright.model.plan import Request, ServerFacts
from batchwright.model.ssh_access import ServerLogin, SshAccess
from batchwright.model.templates import Value, filled, named
from batchwright.model.workflow import (
    Dependency,
    HoldAfter,
    OnFailure,
    Operation,
    ReplaceOrder,
    Retry,
    ServerAlternative,
    ServerConfig,
    ServerPlace,
    WaveHold,
)


class ServerBatch(Operation, Struct, frozen=True, tag_field="type", tag="server_batch"):
    """Ensures that servers exist on one provider."""

    id: str
    provider: str
    server_configs: tuple[ServerConfig, ...]
    dependencies: tuple[Dependency, ...] = ()
    retry: Retry = Retry()
    timeout: float = 600.0  # seconds, per step
    on_failure: OnFailure | None = None
    when: dict[str, str] = {}
    parallel_limit: int | None = None
    replace_order: ReplaceOrder = ReplaceOrder.OLD_FIRST
    waves: tuple[int | str, ...] | None = None
    hold_after: HoldAfter | None = None
    hold: WaveHold | None = None
    min_success: int | str | None = None
    otherwise: tuple[ServerAlternative, ...] = ()
    otherwise_on: tuple[FaultClass, ...] = (FaultClass.CAPACITY,)

    def places(self, config: ServerConfig) -> tuple[ServerPlace, ...]:
        """Where this server may be created, in order; the first is what the file asks for. Each place is there once."""
        places = [ServerPlace(0, self.provider, config)]
        for number, one in enumerate(self.otherwise, 1):
            place = ServerPlace(number, one.provider or self.provider, one.of(config, self.provider))
            if all((place.provider, place.config) != (other.provider, other.config) for other in places):
                places.append(place)
        return tuple(places)


class ServerRequest(Request, Struct, frozen=True, gc=False, omit_defaults=True, tag_field="kind", tag="server"):
    """A create request with the provider's own ids in it, so that a retry sends exactly the same request.

    Only the provider that wrote `resolved` reads it. `access` is set for a server that exists already and is only
    taken. `login` says which key the server lets in, and for a kept one its host keys; None: the run's own key. `facts`
    exist only while planning; the steps of the plan have none.

    >>> config = ServerConfig("web-01", plan="small", zone="eu")
    >>> ServerRequest.of(config, "debian-12", {"image_id": "img-42"}).resolved["image_id"]
    'img-42'
    """

    name: str
    plan: str
    zone: str
    image: str = ""
    ssh_keys: tuple[str, ...] = ()
    user_data: str = ""
    labels: dict[str, str] = {}
    resolved: dict[str, str] = {}
    access: SshAccess | None = None
    login: ServerLogin | None = None
    facts: ServerFacts | None = None
    references: tuple[str, ...] = ()  # in `user_data`
    values: dict[str, Value] = {}

    @classmethod
    def of(
        cls,
        config: ServerConfig,
        image: str,
        resolved: dict[str, str],
        facts: ServerFacts | None = None,
        *,
        plan: str = "",
    ) -> Self:
        """The request for `config`; `plan` is the provider's own name of it, where it has one."""
        user_data = config.user_data or ""
        references = named([user_data])
        return cls(
            config.name,
            plan or config.plan,
            config.zone,
            image=image,
            ssh_keys=config.ssh_keys,
            user_data=user_data if references else filled(user_data, {}),
            labels=config.labels,
            resolved=resolved,
            facts=facts,
            references=references,
        )

    def written(self) -> Self:
        """The request as it is sent, with all its values."""
        if not self.references:
            return self
        return replace(self, user_data=filled(self.user_data, self.values), references=(), values={})

    def public(self) -> Self:
        """The request without `user_data`, which may hold what only the server may know."""
        if not self.user_data:
            return self
        data = self.user_data.encode()
        told = f"({len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()[:16]})"
        return replace(self, user_data=told)
