"""What UpCloud's refusals mean. Three shapes of an error body are known, and a gateway's HTML is none of them.

The codes are those of UpCloud's own clients; which status goes with which code was not always recorded, so the code
decides first and the status only where no code is known.
"""

from __future__ import annotations

from typing import Any

from batchwright.model.fault import FaultClass
from batchwright.providers.rest_client import RefusalRules

_EXACT = {
    "SERVER_CREATING_LIMIT_REACHED": FaultClass.THROTTLE,  # too many at the moment, not in all
    "TOO_MANY_REQUESTS": FaultClass.THROTTLE,
    "RATE_LIMIT_EXCEEDED": FaultClass.THROTTLE,
    "INSUFFICIENT_CREDITS": FaultClass.BILLING,
    "AUTHENTICATION_FAILED": FaultClass.AUTH,
    "TRIAL_PLAN": FaultClass.INVALID,
    "STORAGE_IN_USE": FaultClass.BUSY,
    "INTERNAL_ERROR": FaultClass.TRANSIENT,
    "SERVICE_UNAVAILABLE": FaultClass.TRANSIENT,
}
_ENDINGS = (  # the first that fits
    ("_RESOURCES_UNAVAILABLE", FaultClass.CAPACITY),
    ("_STATE_ILLEGAL", FaultClass.BUSY),
    ("_LIMIT_REACHED", FaultClass.QUOTA),
    ("_FORBIDDEN", FaultClass.AUTH),
    ("_NOT_FOUND", FaultClass.NOT_FOUND),
    ("_INVALID", FaultClass.INVALID),
    ("_MISSING", FaultClass.INVALID),
    ("UNKNOWN_ATTRIBUTE", FaultClass.INVALID),
    ("VALIDATION_ERROR", FaultClass.INVALID),
    ("_ILLEGAL", FaultClass.INVALID),
    ("_UNSUPPORTED", FaultClass.INVALID),
)
_STATUS = {
    400: FaultClass.INVALID,
    401: FaultClass.AUTH,
    402: FaultClass.BILLING,
    403: FaultClass.AUTH,
    404: FaultClass.NOT_FOUND,
    405: FaultClass.INVALID,
    409: FaultClass.BUSY,  # a state that passes, or no room; both are worth another try
    429: FaultClass.THROTTLE,
}
_HINTS = {
    "TRIAL_PLAN": "An account on trial may not use this plan: choose another one, or end the trial in the UpCloud "
    "control panel.",
    FaultClass.AUTH: "The token may have expired or been revoked, be limited to other addresses, or lack a permission: "
    "look at it in the UpCloud control panel.",
    FaultClass.BILLING: "Add credit to the account, or end its trial, in the UpCloud control panel.",
    FaultClass.QUOTA: "Remove what is no longer needed, or ask UpCloud to raise the account's limit.",
    FaultClass.CAPACITY: "Use another zone or plan, or try again later.",
}


def error_of(body: Any) -> tuple[str, str]:
    """Code and message of an error body of any known shape."""
    if not isinstance(body, dict):
        return "", ""
    error = body.get("error")
    if isinstance(error, dict):  # servers, storages, addresses; the second pair is what the published schema says
        code, message = error.get("error_code") or error.get("code"), error.get("error_message") or error.get("message")
        return str(code or ""), str(message or "")
    kind = body.get("type")
    if isinstance(kind, str) and "title" in body:  # RFC 7807, newer services
        ours = "#ERROR_" in kind  # any gateway may answer in this shape
        told = [str(body["title"]), *(_param(one) for one in body.get("invalid_params") or ())]
        return kind.rpartition("#ERROR_")[2] if ours else "", "; ".join(told)
    return "", ""


def _param(one: Any) -> str:
    return f"{one.get('name')}: {one.get('reason')}" if isinstance(one, dict) else str(one)


def class_of(status: int, code: str) -> FaultClass:
    """The engine's class of a refusal."""
    if status == 429:
        return FaultClass.THROTTLE
    if code in _EXACT:
        return _EXACT[code]
    for ending, kind in _ENDINGS:
        if code.endswith(ending):
            return kind
    if status >= 500:
        return FaultClass.TRANSIENT
    if status == 403 and code:  # of its own kind, and not about the credentials: those have codes that are known
        return FaultClass.PERMANENT
    return _STATUS.get(status, FaultClass.PERMANENT)


REFUSALS = RefusalRules("UpCloud", error_of, class_of, _HINTS, absent="not_found")
