"""Repeats failed reads, in one place: a failed read costs no attempt, is repeated after growing pauses, and has an end.

A read asks a provider and changes nothing: a listing, a description, a server's access, the account. A failed read says
nothing about the object, so no step loses an attempt by it. Callers that need the answer wait here.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from batchwright.engine.policy import asked_pause
from batchwright.engine.port_calls import answer
from batchwright.model.call_outcome import ReadRefused, Throttled, Unknown
from batchwright.model.clock import Clock
from batchwright.providers.base import Provider

OUTAGE_SECONDS = 900.0  # a provider that cannot be asked for so long is no longer waited for
OUTAGE_LOOKS = 8  # and so many looks at least, where it asks for long pauses
SOON_SECONDS = 10.0  # the same where a person waits for the answer and nothing is under way
PAUSE_MAX = 30.0  # seconds between two looks that fail, unless the provider asks for more
THROTTLES_MAX = 4  # times that throttled looks double the pause
UNHEARD_SECONDS = 10.0  # of looks that fail, before it is worth a word

T = TypeVar("T")
Heed = Callable[[Unknown], None]
Tell = Callable[[str, str, float], None]  # provider, why it could not be queried, for how long it is tried again


class Outage:
    """A kind of read that fails: since when, why, and when to try again. Times are monotonic."""

    def __init__(self, since: float, patience: float = OUTAGE_SECONDS) -> None:
        self.since = self.again_at = since
        self.why = ""
        self._patience = patience
        self._looks = self._throttles = 0

    def failed(self, seen: Unknown, now: float, poll: float) -> None:
        """Note another failed read; the next pause is twice as long."""
        self._looks += 1
        self.why = seen.reason
        if isinstance(seen, Throttled):
            self._throttles = min(self._throttles + 1, THROTTLES_MAX)
            pause = max(poll * 2**self._throttles, asked_pause(seen.retry_after))
        else:
            pause = min(PAUSE_MAX, poll * 2 ** min(self._looks - 1, 10))
        self.again_at = now + pause

    def over(self, now: float) -> bool:
        """Whether it has lasted too long."""
        return now - self.since >= self._patience and (self._looks >= OUTAGE_LOOKS or self._patience < OUTAGE_SECONDS)

    def words(self, now: float) -> str:
        """How long it has failed and why, in words."""
        return f"has not answered for {now - self.since:.0f} s: {self.why}"


class ReadRetry:
    """Repeats failed reads of the providers, for one process. `tell` is called once for each read that fails."""

    def __init__(
        self,
        clock: Clock,
        tell: Tell = lambda _provider, _why, _patience: None,
    ) -> None:
        self._clock = clock
        self._tell = tell
        self._outages: dict[Outage, str] = {}

    async def look(
        self,
        provider: Provider,
        call: Callable[[], Coroutine[Any, Any, T]],
        *,
        limit: float | None = None,
        patience: float = OUTAGE_SECONDS,
        heed: Heed = lambda _: None,
    ) -> T | Unknown:
        """The answer of `call`, which is repeated while it fails. `heed` is called with every failure.

        Unknown only after `patience` seconds without an answer; ReadRefused at once if a retry cannot help.
        """
        known, outage = provider.capabilities, None
        try:
            while True:
                seen = await answer(known.call_timeout if limit is None else limit, call())
                if not isinstance(seen, Unknown):
                    return seen
                heed(seen)
                if isinstance(seen, ReadRefused):
                    return seen
                now = self._clock.monotonic()
                if outage is None:
                    outage = self.begin(provider.name, patience)
                    self._tell(provider.name, seen.reason, patience)
                outage.failed(seen, now, known.poll_seconds)
                if outage.over(now):
                    return _given_up(seen, outage, now)
                await self._clock.sleep(max(0.0, outage.again_at - now))
        finally:
            self.end(outage)

    def begin(self, provider: str, patience: float = OUTAGE_SECONDS) -> Outage:
        """Note that a kind of read at this provider has failed for the first time."""
        outage = Outage(self._clock.monotonic(), patience)
        self._outages[outage] = provider
        return outage

    def end(self, outage: Outage | None) -> None:
        """The read was answered, or no step waits for it any more."""
        if outage is not None:
            self._outages.pop(outage, None)

    def unheard(self, least: float = UNHEARD_SECONDS) -> dict[str, str]:
        """For each provider whose reads have failed for `least` seconds: for how long, and why."""
        now, told = self._clock.monotonic(), dict[str, str]()
        for outage, provider in sorted(self._outages.items(), key=lambda one: one[0].since):
            if now - outage.since >= least:
                told.setdefault(provider, outage.words(now))
        return told


def _given_up(seen: Unknown, outage: Outage, now: float) -> Unknown:
    why = f"the provider did not answer for {now - outage.since:.0f} s: {seen.reason}"
    return Throttled(why, seen.retry_after) if isinstance(seen, Throttled) else Unknown(why)
