"""What Hetzner's refusals mean: the codes of its reference. Pure."""

from __future__ import annotations

from batchwright.model.outcome import Fault, FaultClass
from batchwright.providers.http import Reply

MESSAGE_MAX = 300  # characters of what Hetzner says that are passed on

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


def error_of(reply: Reply) -> tuple[str, str]:
    """Code and message of a refusal; empty where it has none."""
    error = reply.body.get("error") if isinstance(reply.body, dict) else None
    return (str(error.get("code") or ""), str(error.get("message") or "")) if isinstance(error, dict) else ("", "")


def fault_of(reply: Reply) -> Fault:
    """A refusal in words; what Hetzner says is passed on, shortened."""
    code, message = error_of(reply)
    other = FaultClass.TRANSIENT if reply.status >= 500 else FaultClass.PERMANENT
    kind = _CODES.get(code) or _STATUS.get(reply.status, other)
    said = " ".join(message.split())[:MESSAGE_MAX] or f"HTTP {reply.status} without an explanation"
    text = f"Hetzner refused the token or its right: {said}" if kind is FaultClass.AUTH else f"Hetzner: {said}"
    return Fault(kind, text, code or f"HTTP_{reply.status}", _HINTS.get(kind, ""), reply.retry_after)


def certain(reply: Reply) -> bool:
    """Whether a refusal certainly made nothing: it has a code of Hetzner's own, or its gate turned the call away."""
    return 400 <= reply.status < 500 and (bool(error_of(reply)[0]) or reply.status in (401, 403, 413, 429))
