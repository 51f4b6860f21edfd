"""Every error of the service as RFC 9457 problem details, with the same codes as the command line."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import Scope, Send
from msgspec import Struct

from batchwright import errors
from batchwright.errors import BatchwrightError
from batchwright.model.diagnostic import Diagnostic, bounded

MEDIA_TYPE = "application/problem+json"

CLIENT_GONE = 499  # as nginx has it: the client has disconnected
GONE = "gone"  # key in a request's state, set once its client has disconnected

log = logging.getLogger("batchwright.api")

# the first matching class counts
STATUS: tuple[tuple[type[BatchwrightError], int], ...] = (
    (errors.RunNotFound, 404),
    (errors.ServerNotFound, 404),
    (errors.StepNotFound, 404),
    (errors.WebhookNotFound, 404),
    (errors.RunAmbiguous, 409),
    (errors.RunArchived, 410),
    (errors.NotAllowed, 409),
    (errors.RunHeld, 409),
    (errors.EnvironmentNotFound, 404),
    (errors.EnvironmentAmbiguous, 409),
    (errors.LatestAmbiguous, 409),
    (errors.EnvironmentRefused, 409),
    (errors.LeaseLost, 409),
    (errors.DeliveryMoved, 409),
    (errors.SequenceConflict, 409),
    (errors.PlanChanged, 409),
    (errors.ApprovalOutdated, 409),
    (errors.ApprovalLate, 409),
    (errors.ProposalNotFound, 404),
    (errors.RehearsalNotFound, 404),
    (errors.ProposalClosed, 409),
    (errors.RunChanged, 412),
    (errors.WorkflowInvalid, 422),
    (errors.PlanRefused, 422),
    (errors.IdempotencyMismatch, 422),
    (errors.WebhookInvalid, 422),
    (errors.UsageError, 400),
    (errors.BodyUnreadable, 400),
    (errors.MediaTypeUnknown, 415),
    (errors.Unauthorized, 401),
    (errors.Forbidden, 403),
    (errors.TooManyRequests, 429),
    (errors.ServiceStopping, 503),
    (errors.ServiceBusy, 503),
    (errors.HeadTooLarge, 431),
    (errors.AuditUnreadable, 503),
    (errors.AuditUnwritable, 503),
    (errors.TokensUnreadable, 503),
    (errors.StoreError, 503),
    (errors.ProviderUnavailable, 503),
    (errors.EvaluatorUnavailable, 503),
)

# refusals by the framework itself
CODES = {
    400: "usage",
    404: "no-such-resource",
    405: "method-not-allowed",
    413: "body-too-large",
    415: "media-type-unknown",
}


class ProblemDetails(Struct, frozen=True):
    """RFC 9457, with `code`, `hint` and, for a refused workflow or plan, all diagnostics."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str = ""
    diagnostics: tuple[Diagnostic, ...] = ()


def status_of(error: BatchwrightError) -> int:
    """The HTTP status of an error; 500 for one without a status of its own."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def problem_of(error: BatchwrightError) -> ProblemDetails:
    """The problem details of an error."""
    found = bounded([one for one in error.diagnostics if isinstance(one, Diagnostic)])
    return _problem(status_of(error), error.code, error.message, error.hint, found)


def _problem(status: int, code: str, detail: str, hint: str = "", found: tuple[Diagnostic, ...] = ()) -> ProblemDetails:
    title = HTTPStatus(status).phrase
    return ProblemDetails(f"urn:batchwright:{code}", title, status, detail, code, hint, found)


def body_of(problem: ProblemDetails) -> bytes:
    """Encode as JSON, without empty members."""
    plain = msgspec.to_builtins(problem)
    return msgspec.json.encode({key: value for key, value in plain.items() if value or key not in _OPTIONAL})


_OPTIONAL = ("hint", "diagnostics")


def headers_of(problem: ProblemDetails) -> dict[str, str]:
    """The headers that go with a problem."""
    match problem.status:
        case 401:
            return {"WWW-Authenticate": 'Bearer realm="batchwright"'}
        case 429 | 503:
            return {"Retry-After": "1"}
    return {}


def _respond(
    request: Request[Any, Any, Any], problem: ProblemDetails, more: dict[str, str] | None = None
) -> Response[bytes]:
    request.scope["state"]["code"] = problem.code
    headers = {**headers_of(problem), **(more or {})}
    return Response(body_of(problem), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


def ours(request: Request[Any, Any, Any], error: BatchwrightError) -> Response[bytes]:
    """Answer an error of Batchwright."""
    if status_of(error) == 500:
        log.error("%s %s: %s [%s]", request.method, request.url.path, error.message, error.code)
    return _respond(request, problem_of(error))


def framework(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer a request that the framework refused: unknown path, invalid parameter, or a client that disconnected."""
    if request.scope["state"].get(GONE):
        request.scope["state"]["code"] = "client-gone"
        return Response(b"", status_code=CLIENT_GONE)
    code = CODES.get(error.status_code, "usage" if error.status_code < 500 else "bug")
    return _respond(request, _problem(error.status_code, code, _words(error)), dict(error.headers or {}))


def _words(error: HTTPException) -> str:
    reasons = error.extra if isinstance(error.extra, list) else []
    told = [f"{one.get('key', '')}: {one.get('message', '')}" for one in reasons if isinstance(one, dict)]
    return "; ".join(told) or error.detail


def bug(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer a bug. The traceback goes to the log, never to the client."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    detail = f"{type(error).__name__}: this is a bug in Batchwright"
    return _respond(
        request, _problem(500, "bug", detail, "The service's log says where it happened; please report it.")
    )


async def refuse(error: BatchwrightError, scope: Scope, send: Send) -> None:
    """Answer with an error before the application was called."""
    problem = problem_of(error)
    headers = {"content-type": MEDIA_TYPE, **headers_of(problem)}
    body = b"" if scope.get("method") == "HEAD" else body_of(problem)
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": False})


Handler = Callable[[Request[Any, Any, Any], Any], Response[Any]]
HANDLERS: dict[int | type[Exception], Handler] = {
    BatchwrightError: ours,
    HTTPException: framework,
    Exception: bug,
}
