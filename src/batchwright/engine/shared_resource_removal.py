"""What the servers of a run share at their provider, such as a key or a security group: it goes with the last of them.

A run removes what it created itself in its closing sweep. When a later run of the environment destroys the last server
of an older run, nobody sweeps for the older one any more, so the later run does it.
"""

from __future__ import annotations

from functools import partial

from batchwright.engine.handler_context import HandlerContext
from batchwright.engine.limits import CallClass, calls_of
from batchwright.engine.port_calls import trouble
from batchwright.model.call_outcome import ABSENT, Observed, ServerState, Unknown
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import StepState
from batchwright.model.plan import Step

LISTED_SECONDS = 60.0  # until what was removed must be listed no more


class SharedResourceRemoval:
    """Of the runs whose servers a run destroys."""

    def __init__(self, context: HandlerContext) -> None:
        self._context = context
        self._gone: set[tuple[str, str]] = set()  # servers that this process has seen go, by provider and reference

    async def destroyed(self, step: Step) -> Fault | None:
        """The server of this step is gone: remove what no other server of its run needs. None once that is done."""
        context, retired = self._context, step.retired
        assert retired is not None
        self._gone.add((step.provider, step.ref))
        if self._others(step):
            return None  # the last of them does it
        known = context.providers[step.provider].capabilities
        until = context.clock.monotonic() + max(LISTED_SECONDS, 2 * known.settle_seconds)
        removed: set[str] = set()
        while context.clock.monotonic() < until:  # some are listed only when others are gone
            removable = await self._removable(step.provider, retired.run)
            if isinstance(removable, Unknown):
                return trouble(removable)
            if not removable:
                return None
            if removed.issuperset(removable):  # the listing lags
                await context.clock.sleep(known.poll_seconds)
            for ref in [one for one in removable if one not in removed]:
                ours = partial(_is_of, retired.run)
                fault = await context.calls_to(step.provider, ref, ours, CallClass.DESTROY).destroy()
                if fault is not None:
                    return fault
                removed.add(ref)
        return Fault(FaultClass.TRANSIENT, f"what the servers of run {retired.run} shared is still listed")

    async def _removable(self, name: str, run: str) -> list[str] | Unknown:
        """What the run created there and no server of it needs any more."""
        context, provider = self._context, self._context.providers[name]
        listing = await context.looks.look(
            provider,
            partial(provider.find, run),
            heed=lambda look: context.heed(name, calls_of(context.run), look),
        )
        if isinstance(listing, Unknown):
            return listing
        shared = [one for one in listing if one.needed_by is not None]
        standing = await self._standing(name, [one for one in listing if one.needed_by is None]) if shared else []
        if isinstance(standing, Unknown):
            return standing
        keys = [key for one in standing for key in (one.ref, one.token)]
        return [one.ref for one in shared if not any(key.startswith(one.needed_by or "") for key in keys)]

    def _others(self, step: Step) -> bool:
        """Whether this run has still to destroy other servers of the same run there."""
        run = self._context.run
        return any(
            other.retired is not None
            and (other.provider, other.retired.run) == (step.provider, step.retired.run if step.retired else "")
            and other.ref
            and (other.provider, other.ref) not in self._gone
            and record.state is not StepState.SUCCEEDED
            for other, record in zip(run.plan.steps, run.records, strict=True)
        )

    async def _standing(self, provider: str, servers: list[Observed]) -> list[Observed] | Unknown:
        """Those that are there by a fresh read: a listing may lag behind, and so may a read, for the settle time."""
        context, port = self._context, self._context.providers[provider]
        refs = [one.ref for one in servers if (provider, one.ref) not in self._gone]
        if not refs:
            return []
        until = context.clock.monotonic() + port.capabilities.settle_seconds
        while True:
            seen = await context.looks.look(port, partial(port.describe, refs))
            if isinstance(seen, Unknown):
                return seen
            states = {ref: one.state for ref, one in seen.items()}
            if ServerState.NOT_VISIBLE not in states.values() or context.clock.monotonic() >= until:
                return [one for one in servers if states.get(one.ref, ServerState.GONE) not in ABSENT]
            await context.clock.sleep(port.capabilities.poll_seconds)


def _is_of(run: str, seen: Observed) -> bool:
    return seen.run == run
