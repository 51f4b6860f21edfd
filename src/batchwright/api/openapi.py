"""The parts of the OpenAPI document that do not follow from the handlers' types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import (
    Components,
    OpenAPIMediaType,
    Operation,
    Parameter,
    RequestBody,
    Schema,
    SecurityScheme,
)
from litestar.openapi.spec.enums import OpenAPIType

from batchwright import __version__
from batchwright.api.problems import MEDIA_TYPE, ProblemDetails
from batchwright.model.environment import NAME_PATTERN
from batchwright.model.lifecycle import RunState

TEXT_TYPES = {"text/x-nickel": ".ncl", "application/yaml": ".yaml"}

RUN_ID = "A run's id, a unique prefix of one, `latest`, or an environment's name for its newest run."
SPAN_PATTERN = "^[0-9]{1,6}[smhd]$"
SETTING_PATTERN = "^[a-z_.]{1,60}=[^\\u0000-\\u001f]{0,200}$"
CURSOR_PATTERN = "^[A-Za-z0-9_-]{1,200}$"
WHOLE_NAME = f"^{NAME_PATTERN}$"
NAME_OR_NOTHING = f"^({NAME_PATTERN})?$"
KEY_PATTERN = "^[!-~]{1,200}$"
MATCH_PATTERN = '^(\\*|"[a-z2-7]{12}-[0-9]{1,12}")$'


def _any_case(word: str) -> str:
    return "".join(f"[{letter.upper()}{letter.lower()}]" for letter in word)


STATUS_PATTERN = "^(" + "|".join(_any_case(state.value) for state in RunState) + ")$"

_TOLD = {
    400: "The request is malformed.",
    401: "The request needs a token.",
    403: "The token's role or the origin of the request does not allow this.",
    404: "The run, step or environment does not exist.",
    409: "The run's state does not allow this, or the id or name is ambiguous.",
    412: "The run has changed since the state named by If-Match.",
    413: "The body is too large.",
    415: "The body has an unsupported media type.",
    422: "The workflow or its plan was refused; every diagnostic is listed.",
    429: "Too many requests.",
    503: "The service is stopping, or a store or provider does not answer.",
}


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """The problem responses of a handler, by status."""
    return {
        status: ResponseSpec(ProblemDetails, description=_TOLD[status], media_type=MEDIA_TYPE, generate_examples=False)
        for status in (400, 401, 403, 503, *statuses)
    }


@dataclass
class RepeatableQueryOperation(Operation):
    """An operation with parameters that may be repeated. The framework drops the patterns of their items; this adds
    them.
    """

    def __post_init__(self) -> None:
        for one in self.parameters or ():
            if isinstance(one, Parameter) and one.name in _ITEMS and isinstance(one.schema, Schema):
                items = Schema(type=OpenAPIType.STRING, pattern=_ITEMS[one.name])
                one.schema = Schema(type=OpenAPIType.ARRAY, items=items)


_ITEMS = {"status": STATUS_PATTERN, "sim": SETTING_PATTERN, "reinstall": WHOLE_NAME}


@dataclass
class WorkflowBodyOperation(RepeatableQueryOperation):
    """An operation whose body is a workflow in one of three languages."""

    def __post_init__(self) -> None:
        super().__post_init__()
        definition = Schema(
            type=OpenAPIType.OBJECT,
            description='The shape of a workflow file, `{"batch_workflow": {...}}`, or the inner record alone.',
        )
        content = {"application/json": OpenAPIMediaType(schema=definition)}
        content |= {kind: OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING)) for kind in TEXT_TYPES}
        self.request_body = RequestBody(content, "The workflow.", required=True)


@dataclass
class EventStreamOperation(Operation):
    """An operation that also answers with server-sent events."""

    def __post_init__(self) -> None:
        content: Any = (self.responses or {})["200"]
        content.content["text/event-stream"] = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING))


def openapi() -> OpenAPIConfig:
    """The settings of the document. api/documentation.py serves it."""
    return OpenAPIConfig(
        title="Batchwright",
        version=__version__,
        description="Batch workflows of infrastructure operations: typed, planned, parallel, crash-safe, reversible.",
        use_handler_docstrings=True,
        security=[{"bearer": []}, {}],
        components=Components(security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer")}),
        path="/openapi",
    )


def as_any_of(document: Any) -> Any:
    """The document with `anyOf` for each `oneOf`: a value can match two types of a Python union, as 1 matches int and
    float.
    """
    if isinstance(document, dict):
        return {"anyOf" if key == "oneOf" else key: as_any_of(value) for key, value in document.items()}
    return [as_any_of(one) for one in document] if isinstance(document, list | tuple) else document
