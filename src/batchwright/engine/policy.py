"""One policy per fault class, and the back-off times. Pure: the jitter comes from the token, not from chance."""

from __future__ import annotations

from msgspec import Struct

from batchwright.model.fault import Fault, FaultClass
from batchwright.model.ids import fraction
from batchwright.model.workflow import Retry

RETRY_AFTER_MAX = 900.0  # seconds; a provider that asks for more is asked again after this
THROTTLES_MAX = 1000  # a step that is throttled more often than this fails instead of waiting for ever


class Policy(Struct, frozen=True):
    """`counted`: uses up one of max_attempts. `stops_lane`: nothing more can work with this account.

    `slower`: pauses are longer by this, up to so many times max_delay; `more`: attempts are that many times as many,
    where more than one is allowed. Room in a zone comes back in minutes, not in seconds.
    """

    retry: bool
    counted: bool = True
    stops_lane: bool = False
    slower: float = 1.0
    longest: float = 1.0
    more: int = 1


_RETRY = Policy(retry=True)
_FAIL = Policy(retry=False)
_STOP = Policy(retry=False, stops_lane=True)

POLICIES: dict[FaultClass, Policy] = {
    FaultClass.TRANSIENT: _RETRY,
    FaultClass.THROTTLE: Policy(retry=True, counted=False),
    FaultClass.BUSY: _RETRY,
    FaultClass.CAPACITY: Policy(retry=True, slower=20.0, longest=5.0, more=2),
    FaultClass.QUOTA: _STOP,
    FaultClass.BILLING: _STOP,
    FaultClass.AUTH: _STOP,
    FaultClass.INVALID: _FAIL,
    FaultClass.NOT_FOUND: _FAIL,
    FaultClass.CONFLICT: _FAIL,
    FaultClass.PERMANENT: _FAIL,
    FaultClass.TIMEOUT: _RETRY,
    FaultClass.EXIT: _RETRY,
    FaultClass.IN_DOUBT: _RETRY,
}


def backoff(retry: Retry, failures: int, seed: str, policy: Policy = _RETRY) -> float:
    """Seconds to wait after so many failures: doubled each time, capped, then between half and the whole of it.

    Equal jitter, as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
    """
    full = min(retry.max_delay * policy.longest, retry.initial_delay * policy.slower * 2.0 ** min(failures, 30))
    return full * (0.5 + 0.5 * fraction(f"{seed}/{failures}"))


def asked_pause(retry_after: float | None) -> float:
    """The pause in seconds that a provider asked for, up to a maximum."""
    return min(max(0.0, retry_after or 0.0), RETRY_AFTER_MAX)


def may_retry(fault: Fault, retry: Retry, failures: int, throttles: int) -> bool:
    """Whether a step that failed `failures` times before, and now with `fault`, is tried again."""
    policy = POLICIES[fault.kind]
    if not policy.retry:
        return False
    most = retry.max_attempts * (policy.more if retry.max_attempts > 1 else 1)
    return failures + 1 < most if policy.counted else throttles < THROTTLES_MAX
