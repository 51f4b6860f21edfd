"""What the client of the emulated UpCloud gets to see of what goes wrong, in UpCloud's own shapes."""

from __future__ import annotations

from aiohttp import web

from batchwright.model.ids import fraction
from batchwright.testing.emulators.fates import Fate, dropped, page
from batchwright.testing.emulators.upcloud.settings import Emulation


def told(request: web.Request, fate: Fate, emulation: Emulation) -> web.Response:
    """What the client gets to see of it."""
    which = fraction(f"{fate.seed}/which")
    match fate.kind:
        case "throttle":
            return throttled(emulation)
        case "lost_answers" | "late_commits":
            return dropped(request)
        case "html502":
            return page()
        case "read_errors" if which < 0.3:
            return dropped(request)
        case "read_errors" if which < 0.6:
            return page()
    return problem(500) if which < 0.8 else error(503, "SERVICE_UNAVAILABLE", "The service is not available.")


def throttled(emulation: Emulation) -> web.Response:
    """429; how UpCloud's really looks was never recorded."""
    answer = error(429, "TOO_MANY_REQUESTS", "Too many requests.")
    answer.headers["Retry-After"] = str(emulation.retry_after)
    return answer


def error(status: int, code: str, message: str) -> web.Response:
    """The older shape."""
    return web.json_response({"error": {"error_code": code, "error_message": message}}, status=status)


def problem(status: int) -> web.Response:
    """The newer shape, RFC 7807."""
    kind = "https://developers.upcloud.com/1.3/errors#ERROR_INTERNAL_ERROR"
    body = {"type": kind, "title": "Internal error.", "correlation_id": "emulated", "status": status}
    return web.json_response(body, status=status, content_type="application/problem+json")
