"""What an HTTP answer means: a refusal by a Batchwright service, or the page of another program."""

from __future__ import annotations

import re
from http.client import HTTPException, HTTPResponse
from typing import Any

import msgspec
from msgspec import Struct

from batchwright import errors
from batchwright.errors import BatchwrightError, ServiceUnavailable
from batchwright.model.diagnostic import Diagnostic
from batchwright.operations.registry import dec_hook

GATEWAY = frozenset({502, 503, 504})  # what a proxy says when the service did not answer it
ANSWER_MAX = 256 * 1024 * 1024  # bytes of one answer
WORDS_READ, WORDS_SHOWN = 4_096, 200  # bytes and characters of an answer that is not a service's


class HttpProblem(Struct, frozen=True):
    """A refusal of a Batchwright service."""

    code: str
    title: str = ""
    detail: str = ""
    hint: str = ""
    diagnostics: tuple[Diagnostic, ...] = ()


def decoded(answer: bytes | msgspec.Raw, kind: Any) -> Any:
    """The decoded body of an answer. Raises ServiceUnavailable."""
    try:
        return msgspec.json.decode(answer, type=kind, dec_hook=dec_hook)
    except msgspec.MsgspecError as error:
        raise ServiceUnavailable(
            f"the program that answers is not a Batchwright service, or is another version: {error}"
        ) from error


def problem_in(answer: bytes) -> HttpProblem | None:
    """The refusal in an answer, None if it is something else."""
    try:
        return msgspec.json.decode(answer, type=HttpProblem)
    except msgspec.MsgspecError:
        return None


def refusal(url: str, status: int, answer: bytes) -> BatchwrightError:
    """The error for an answer: the one that it names, or one with the words of another program."""
    told = problem_in(answer)
    if told is None:
        return ServiceUnavailable(
            f"{url} answered {status}, but is not a Batchwright service{_words(answer)}",
            hint="It may be another program or a proxy; check its log.",
        )
    kind = _known().get(told.code, BatchwrightError)
    error = kind(told.detail or told.title, hint=told.hint, diagnostics=told.diagnostics)
    error.code = told.code
    return error


def reason(error: Exception) -> str:
    """Why a connection failed, in a few words."""
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    return str(error) or type(error).__name__


def _words(answer: bytes) -> str:
    """What the answer of another program says, without markup, in one line."""
    text = answer[:WORDS_READ].decode(errors="replace")
    words = " ".join(re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", text).split())
    return f": {words[:WORDS_SHOWN]}" if words else ""


def _known() -> dict[str, type[BatchwrightError]]:
    """The error classes by their code, the more general first."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BatchwrightError)]
    return {kind.code: kind for kind in reversed(kinds)}


def bounded(response: HTTPResponse) -> bytes:
    """The body. Raises HTTPException if it is too long."""
    body = response.read(ANSWER_MAX + 1)
    if len(body) > ANSWER_MAX:
        raise HTTPException(f"the answer has more than {ANSWER_MAX // 2**20} MiB")
    return body
