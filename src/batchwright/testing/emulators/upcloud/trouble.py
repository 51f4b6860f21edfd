"""What goes wrong with a call, drawn beforehand: the same for the same seed, kind and thing, whatever else happens."""

from __future__ import annotations

from aiohttp import web
from msgspec import Struct

from batchwright.model.ids import fraction
from batchwright.testing.emulators.upcloud.estate import Estate
from batchwright.testing.emulators.upcloud.settings import Emulation

_PAGE = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
_CHANGES = ("throttle", "errors", "html502", "lost_answers")


class Fate(Struct, frozen=True):
    """`kind` is the fault, empty for none; `acts` whether the call is carried out; `late` after how many seconds."""

    seed: str
    kind: str = ""
    acts: bool = True
    late: float = 0.0


def fate_of(estate: Estate, method: str, path: str, about: str) -> Fate:
    """The fate of one call. A create may also take effect late; a look only fails."""
    e = estate.emulation
    if method == "GET":
        seed = estate.draw("read", path)
        return Fate(seed, "read_errors" if fraction(f"{seed}/read_errors") < e.read_errors else "", acts=False)
    create = method == "POST" and path == "/server"
    seed = estate.draw("create" if create else "change", about if create else f"{method} {path}")
    for kind in (*_CHANGES, "late_commits") if create else _CHANGES:
        if fraction(f"{seed}/{kind}") < getattr(e, kind):
            estate.happened[kind] += 1
            return _fated(e, seed, kind)
    return Fate(seed)


def _fated(e: Emulation, seed: str, kind: str) -> Fate:
    match kind:
        case "lost_answers":
            return Fate(seed, kind)
        case "late_commits":
            late = e.late_min + (e.late_max - e.late_min) * fraction(f"{seed}/late")
            return Fate(seed, kind, late=e.scaled(late))
        case "html502":
            return Fate(seed, kind, acts=fraction(f"{seed}/acts") < 0.5)
    return Fate(seed, kind, acts=False)


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


def page() -> web.Response:
    """What a gateway says."""
    return web.Response(status=502, text=_PAGE, content_type="text/html")


def dropped(request: web.Request) -> web.Response:
    """The connection ends before an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
