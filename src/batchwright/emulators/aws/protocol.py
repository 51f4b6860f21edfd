"""Reads and writes AWS's wire protocols from the service descriptions in botocore; no shape is defined here.

Anything unknown to a description is refused, as AWS does. Covers `ec2` and `query` (form in, XML out) and `json`.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Protocol
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel

from batchwright.emulators.front import CallRefused

_NAMES = {
    "ec2": "ec2",
    "sts": "sts",
    "ssm": "ssm",
    "servicequotas": "service-quotas",
    "pricing": "pricing",
}  # as requests are signed for
_INDEX = re.compile(r"[1-9][0-9]*")

SKEW_MAX = 300.0  # seconds between the time of a signature and the cloud's

Tree = dict[str, Any]


class Headers(Protocol):
    """Head lines by name, whatever their case."""

    def get(self, name: str, failobj: str) -> str: ...


class ApiError(CallRefused):
    """A refusal with AWS's code and message, and the status of most of them."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(status, code, message)


class AwsRequest:
    """One parsed call."""

    def __init__(self, service: str, region: str, action: str, arguments: Mapping[str, Any]) -> None:
        self.service, self.region, self.action, self.arguments = service, region, action, arguments


@cache
def description(service: str) -> ServiceModel:
    """What botocore knows about a service. Raises ApiError for one that is not emulated."""
    if service not in _NAMES:
        raise ApiError("InvalidAction", f"the service {service} is not emulated")
    name = _NAMES[service]
    return ServiceModel(Loader().load_service_model(name, "service-2"), name)


def scope(headers: Headers) -> tuple[str, str]:
    """The region and the service that a request is signed for; without a signature, none and EC2."""
    found = re.search(r"Credential=[^/]+/\d{8}/([^/]+)/([^/]+)/aws4_request", headers.get("Authorization", ""))
    return (found[1], found[2]) if found else ("", "ec2")


def read(headers: Headers, body: bytes) -> AwsRequest:
    """The call in an HTTP request. Raises ApiError."""
    region, service = scope(headers)
    if not region:
        raise ApiError("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
    model = description(service)
    if _is_json(model):
        action = headers.get("X-Amz-Target", "").rpartition(".")[2]
        return AwsRequest(service, region, action, json.loads(body or b"{}"))
    pairs = dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))
    action = pairs.pop("Action", "")
    pairs.pop("Version", None)
    operation = _operation(model, action)
    shape = operation.input_shape
    arguments = _structure(shape, _tree(pairs), "") if shape is not None else {}
    return AwsRequest(service, region, action, arguments)


def check_time(service: str, signed: str, now: float) -> None:
    """Raises ApiError for a request signed more than five minutes ago, or ahead."""
    try:
        at = datetime.strptime(signed, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise ApiError("IncompleteSignature", "X-Amz-Date is missing or not a date", 403) from None
    if abs(at - now) > SKEW_MAX:
        code = "RequestExpired" if service == "ec2" else "SignatureDoesNotMatch"
        raise ApiError(code, f"Signature expired or not yet current: {signed}", 403)


def _operation(model: ServiceModel, action: str) -> OperationModel:
    if action not in model.operation_names:
        raise ApiError("InvalidAction", f"The action {action} is not valid for this web service.")
    return model.operation_model(action)


def _is_json(model: ServiceModel) -> bool:
    return bool(model.metadata["protocol"] == "json")


def _tree(pairs: Mapping[str, str]) -> Tree:
    root: Tree = {}
    for key, value in pairs.items():
        *folders, leaf = key.split(".")
        place = root
        for folder in folders:
            place = place.setdefault(folder, {})
        place[leaf] = value
    return root


def _structure(shape: Any, tree: Tree, path: str) -> dict[str, Any]:
    names = {_query_name(member, name): (name, member) for name, member in shape.members.items()}
    if unknown := [key for key in tree if key not in names]:
        raise ApiError("UnknownParameter", f"The parameter {path}{unknown[0]} is not recognized")
    found = {names[key][0]: _value(names[key][1], part, f"{path}{key}.") for key, part in tree.items()}
    for name in shape.required_members:
        if name not in found:
            raise ApiError("MissingParameter", f"The request must contain the parameter {path}{name}")
    return found


def _query_name(member: Any, name: str) -> str:
    if "queryName" in member.serialization:
        return str(member.serialization["queryName"])
    spelled = str(member.serialization.get("name", name))
    return spelled[0].upper() + spelled[1:]


def _value(shape: Any, part: Any, path: str) -> Any:
    match shape.type_name:
        case "structure":
            return _structure(shape, part, path)
        case "list":
            if not all(_INDEX.fullmatch(key) for key in part):
                raise ApiError("InvalidParameterValue", f"{path} is not a list")
            return [_value(shape.member, part[key], f"{path}{key}.") for key in sorted(part, key=int)]
        case "integer" | "long":
            return int(part)
        case "float" | "double":
            return float(part)
        case "boolean":
            return part == "true"
        case "blob":
            return base64.b64decode(part)
    return part


def answer(request: AwsRequest, result: Mapping[str, Any]) -> tuple[bytes, str]:
    """The body and content type that tell a result, by the names of the description."""
    model = description(request.service)
    if _is_json(model):
        return json.dumps(result).encode(), "application/x-amz-json-1.1"
    operation = _operation(model, request.action)
    shape, number = operation.output_shape, uuid.uuid4()
    inner = "".join(_elements(shape, result)) if shape is not None else "<return>true</return>"
    name, space = request.action, model.metadata["xmlNamespace"]
    if model.metadata["protocol"] == "ec2":
        text = f'<{name}Response xmlns="{space}"><requestId>{number}</requestId>{inner}</{name}Response>'
    else:
        meta = f"<ResponseMetadata><RequestId>{number}</RequestId></ResponseMetadata>"
        text = f'<{name}Response xmlns="{space}"><{name}Result>{inner}</{name}Result>{meta}</{name}Response>'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode(), "text/xml;charset=UTF-8"


def _elements(shape: Any, value: Mapping[str, Any]) -> Iterator[str]:
    if unknown := [key for key in value if key not in shape.members]:
        raise ValueError(f"{shape.name} has no member {unknown[0]}")
    for name, part in value.items():
        member = shape.members[name]
        tag = member.serialization.get("name", name)
        yield f"<{tag}>{_text(member, part)}</{tag}>"


def _text(shape: Any, value: Any) -> str:
    match shape.type_name:
        case "structure":
            return "".join(_elements(shape, value))
        case "list":
            tag = shape.member.serialization.get("name", "member")
            return "".join(f"<{tag}>{_text(shape.member, one)}</{tag}>" for one in value)
        case "boolean":
            return "true" if value else "false"
        case "timestamp":
            return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return escape(str(value))


def refusal(service: str, error: CallRefused) -> tuple[bytes, str]:
    """The body and content type that tell an error, in the shape of the service's protocol."""
    code, message, number = escape(error.code), escape(error.message), uuid.uuid4()
    if service in ("ssm", "servicequotas", "pricing"):
        return json.dumps({"__type": error.code, "message": error.message}).encode(), "application/x-amz-json-1.1"
    if service == "sts":
        inner = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        text = f"<ErrorResponse>{inner}<RequestId>{number}</RequestId></ErrorResponse>"
    else:
        inner = f"<Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
        text = f"<Response>{inner}<RequestID>{number}</RequestID></Response>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode(), "text/xml;charset=UTF-8"
