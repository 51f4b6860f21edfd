"""How an emulated cloud behaves: the common fault words, and what only clouds behind HTTP have."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from batchwright.fault_injection.settings import Count, FaultSettings, Positive


class EmulatorBehaviour(FaultSettings, frozen=True, kw_only=True):
    """Durations are a real cloud's seconds. A cloud's own settings stand in its subclass."""

    burst: Positive = 10
    retry_after: Annotated[
        Count,
        Meta(description="seconds in Retry-After after too many calls, not scaled; 0: no header"),
    ] = 1
    read_only: Annotated[bool, Meta(description="the credentials may only read")] = False
    denied: Annotated[
        str,
        Meta(description="calls without a right, with commas between: `GET /ip_address,GET /price`"),
    ] = ""
    failing: Annotated[str, Meta(description="calls that a gateway always answers with 503, with commas between")] = ""
    unordered: Annotated[bool, Meta(description="every listing has another order")] = False
