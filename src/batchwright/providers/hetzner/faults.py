"""What Hetzner's refusals mean: the codes of its reference. Pure."""

from __future__ import annotations

from typing import Any

from batchwright.model.fault import FaultClass
from batchwright.providers.rest_client import RefusalRules

_CODES = {
    "unauthorized": FaultClass.AUTH,
    "forbidden": FaultClass.AUTH,
    "token_readonly": FaultClass.AUTH,
    "invalid_input": FaultClass.INVALID,
    "json_error": FaultClass.INVALID,
    "unsupported_error": FaultClass.INVALID,
    "method_not_allowed": FaultClass.INVALID,
    "not_found": FaultClass.NOT_FOUND,
    "uniqueness_error": FaultClass.CONFLICT,
    "conflict": FaultClass.BUSY,  # somebody else changed it during the call; Hetzner asks to try again
    "locked": FaultClass.BUSY,
    "server_not_stopped": FaultClass.BUSY,  # it is stopping, or somebody started it
    "invalid_server_type": FaultClass.INVALID,
    "protected": FaultClass.PERMANENT,
    "rate_limit_exceeded": FaultClass.THROTTLE,
    "resource_limit_exceeded": FaultClass.QUOTA,
    "server_limit_exceeded": FaultClass.QUOTA,
    "resource_unavailable": FaultClass.CAPACITY,
    "placement_error": FaultClass.CAPACITY,
}
_STATUS = {401: FaultClass.AUTH, 403: FaultClass.AUTH, 404: FaultClass.NOT_FOUND, 429: FaultClass.THROTTLE}
_HINTS = {
    FaultClass.AUTH: "The token may have been removed, belong to another project, or have no right to write: look at "
    "it in the Hetzner console.",
    FaultClass.QUOTA: "Remove what is no longer needed, or ask Hetzner to raise the project's limit.",
    FaultClass.CAPACITY: "Use another location or server type, or try again later.",
}


def error_of(body: Any) -> tuple[str, str]:
    """Code and message of an error body; empty where it has none."""
    error = body.get("error") if isinstance(body, dict) else None
    return (str(error.get("code") or ""), str(error.get("message") or "")) if isinstance(error, dict) else ("", "")


def class_of(status: int, code: str) -> FaultClass:
    """The engine's class of a refusal."""
    other = FaultClass.TRANSIENT if status >= 500 else FaultClass.PERMANENT
    if status == 403 and code and code not in _CODES:  # of its own kind, and not about the credentials
        return other
    return _CODES.get(code) or _STATUS.get(status, other)


REFUSALS = RefusalRules("Hetzner", error_of, class_of, _HINTS, absent="not_found")
