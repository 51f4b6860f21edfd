"""Every operation type, and how its structs are read back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from batchwright.model.plan import Request, Step
from batchwright.model.workflow import Operation
from batchwright.operations.approval import ApprovalType
from batchwright.operations.base import OperationType, PortKind
from batchwright.operations.check import CheckType
from batchwright.operations.command import CommandType
from batchwright.operations.server_batch import ServerBatchType
from batchwright.operations.taskserv_batch import TaskservBatchType

TYPES: tuple[OperationType[Any], ...] = (
    ServerBatchType(),
    TaskservBatchType(),
    CommandType(),
    CheckType(),
    ApprovalType(),
)

_OF_OPERATION = {kind.operation: kind for kind in TYPES}
_OF_REQUEST = {kind.request: kind for kind in TYPES}
_READ: dict[type, tuple[str, dict[str, type]]] = {  # a base class -> the field that tells its structs apart, and these
    Operation: ("type", {kind.name: kind.operation for kind in TYPES}),
    Request: ("kind", {kind.request.kind(): kind.request for kind in TYPES}),
}


def types_in(operations: Iterable[Operation]) -> tuple[OperationType[Any], ...]:
    """The types that these operations are of, in the order in which they are planned."""
    used = {type(op) for op in operations}
    return tuple(kind for kind in TYPES if kind.operation in used)


def type_of(one: Operation | Step) -> OperationType[Any]:
    """The type of an operation, or of the operation that a step belongs to."""
    return _OF_REQUEST[type(one.request)] if isinstance(one, Step) else _OF_OPERATION[type(one)]


def is_server(step: Step) -> bool:
    """Whether the step works on a server itself, not on what is on one."""
    return type_of(step).port is PortKind.PROVIDER


def dec_hook(kind: type, value: Any) -> Any:
    """Decodes an operation or a request for msgspec. Raises ValidationError for an unknown type."""
    field, known = _READ[kind]
    tag = value.get(field) if isinstance(value, dict) else None
    if tag not in known:
        raise msgspec.ValidationError(f"Invalid value {tag!r}: expected one of {', '.join(known)}")
    return msgspec.convert(value, known[tag])
