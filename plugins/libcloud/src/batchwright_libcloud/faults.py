"""What the exceptions of Libcloud's drivers mean. Most drivers raise bare ones, after which the outcome is unknown."""

from __future__ import annotations

from libcloud.common.exceptions import BaseHTTPError, RateLimitReachedError
from libcloud.common.types import InvalidCredsError
from libcloud.common.vultr import VultrException

from batchwright import Fault, FaultClass, ProviderThrottled, ProviderUnavailable, Rejected, Unknown
from batchwright.model.fault import PASSING

MESSAGE_MAX = 300  # characters of a driver's message that are shown

_STATUS = {
    400: FaultClass.INVALID,
    401: FaultClass.AUTH,
    402: FaultClass.BILLING,
    403: FaultClass.AUTH,
    404: FaultClass.NOT_FOUND,
    409: FaultClass.CONFLICT,
    422: FaultClass.INVALID,
    429: FaultClass.THROTTLE,
}


def outcome(error: Exception) -> Rejected | Unknown:
    """The outcome for an exception: Rejected only if the cloud's own status says so."""
    match error:
        case InvalidCredsError():
            hint = "Check LIBCLOUD_KEY, LIBCLOUD_SECRET and the table [libcloud]."
            return Rejected(Fault(FaultClass.AUTH, f"the cloud refused the credentials: {told(error)}", "401", hint))
        case RateLimitReachedError():
            after = float(getattr(error, "retry_after", 0) or 0) or None
            return Rejected(Fault(FaultClass.THROTTLE, told(error), "429", retry_after=after))
        case BaseHTTPError(code=code) | VultrException(code=code) if (
            isinstance(code, int) and 400 <= code < 500 and code != 408
        ):
            return Rejected(Fault(_STATUS.get(code, FaultClass.PERMANENT), told(error), str(code)))
    return Unknown(told(error))


def unavailable(error: Exception) -> ProviderUnavailable:
    """The error for a lookup that failed."""
    found = outcome(error)
    if isinstance(found, Rejected) and found.fault.kind is FaultClass.THROTTLE:
        return ProviderThrottled(f"libcloud: {told(error)}", retry_after=found.fault.retry_after)
    hint = found.fault.hint if isinstance(found, Rejected) else ""
    passing = not isinstance(found, Rejected) or found.fault.kind in PASSING
    return ProviderUnavailable(f"libcloud: {told(error)}", hint=hint or "Try again in a moment.", passing=passing)


def told(error: Exception) -> str:
    """The message, shortened."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:MESSAGE_MAX]
