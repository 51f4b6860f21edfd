"""Claims this process's share of the limits of each account, again and again, from the store that processes share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from batchwright.engine.limits import Limits
from batchwright.errors import BatchwrightError
from batchwright.journal.base import CLAIM_SECONDS, AccountClaim, Journal, SharesAccounts
from batchwright.journal.lease_holder import own_holder
from batchwright.model.clock import Clock

AGAIN_SECONDS = 2.0  # between two claims; so long it takes until another service has its share
MARGIN = 5.0  # seconds before a claim ends in which nothing is begun any more: what was begun is still to be sent

log = logging.getLogger(__name__)


class AccountClaims:
    """Those of one process. A share ends in time when the store does not answer."""

    def __init__(
        self, store: Callable[[], Awaitable[SharesAccounts]], limits: Limits, clock: Clock, process: str
    ) -> None:
        self._store = store
        self._limits = limits
        self._clock = clock
        self._process = process
        self._until: dict[str, float] = {}  # lane -> when its share ends
        self._asked = asyncio.Event()
        limits.on_short = self._asked.set

    async def keep(self) -> None:
        """Claim for ever."""
        while True:
            await self.claim_all()
            try:
                async with asyncio.timeout(AGAIN_SECONDS):
                    await self._asked.wait()
                await self._clock.sleep(0.1)  # several may ask at the same time
            except TimeoutError:
                pass
            self._asked.clear()

    async def claim_all(self) -> None:
        """Claim once for each account."""
        for name, lane in list(self._limits.lanes.items()):
            if not lane.account:
                continue
            began, wants = self._clock.monotonic(), self._limits.wants(name)
            lane.held = True  # what is in flight stays as it is claimed
            claim = AccountClaim(lane.account, self._process, lane.concurrency, lane.in_flight, wants)
            try:
                async with asyncio.timeout(CLAIM_SECONDS - MARGIN):
                    calls = await (await self._store()).claim(claim)
            except (BatchwrightError, TimeoutError) as error:
                log.warning("the share of the account %s cannot be claimed: %s", lane.account, error or "no answer")
                calls = min(lane.allowed, claim.in_flight)  # which the store has, whether the claim reached it or not
                if began >= self._until.get(name, 0.0):
                    calls = 0
            else:
                self._until[name] = began + CLAIM_SECONDS - MARGIN
            self._limits.allow(name, calls)

    async def give_up(self) -> None:
        """Leave the shares to the others at once, as far as the store answers."""
        for name in self._until:
            lane = self._limits.lanes[name]
            lane.held = True
            gone = AccountClaim(lane.account, self._process, lane.concurrency, 0, wants=False)
            with contextlib.suppress(BatchwrightError, TimeoutError):
                async with asyncio.timeout(MARGIN):
                    await (await self._store()).claim(gone)


@contextlib.asynccontextmanager
async def shared_accounts(journal: Journal, limits: Limits, clock: Clock) -> AsyncIterator[None]:
    """Keep within the limits of accounts together with all others that use them, where the store lets them agree."""
    if not isinstance(journal, SharesAccounts):
        yield
        return

    async def store() -> SharesAccounts:
        assert isinstance(journal, SharesAccounts)
        return journal

    claims = AccountClaims(store, limits, clock, own_holder())
    limits.share()
    keeping = asyncio.create_task(claims.keep())
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await claims.give_up()
