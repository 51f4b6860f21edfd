"""Every secret reference in a value, found by its shape, whichever operation, provider or field contains it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, get_args

import msgspec
from msgspec import Struct
from msgspec.structs import fields, replace

from batchwright.model.secret_reference import SecretReference

T = TypeVar("T")
Path = tuple[str | int, ...]
Change = Callable[[Path, SecretReference], SecretReference]

_FORMS = frozenset(SecretReference.__struct_fields__)


def mapped(value: T, change: Change) -> T:
    """`value` with each reference in it replaced by what `change` gives for it and its path.

    No contract of ours covers fields of type `Any`. There, a record with the shape of a reference is one, and so is a
    text that names a file (`/PATH`, `~/PATH`), such as the key of an existing server.
    """
    return _mapped(value, change, (), untyped=False)  # type: ignore[no-any-return]


def _mapped(value: Any, change: Change, path: Path, *, untyped: bool) -> Any:
    if isinstance(value, SecretReference):
        return change(path, value)
    if isinstance(value, Struct):
        loose = _untyped_fields(type(value))
        parts = {
            name: _mapped(getattr(value, name), change, (*path, name), untyped=name in loose)
            for name in value.__struct_fields__
        }
        return replace(value, **{name: part for name, part in parts.items() if part is not getattr(value, name)})
    if untyped and (reference := _reference(value)) is not None:
        changed = change(path, reference)
        return changed.file if isinstance(value, str) else msgspec.to_builtins(changed)
    if isinstance(value, dict):
        return {key: _mapped(one, change, (*path, key), untyped=untyped) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_mapped(one, change, (*path, i), untyped=untyped) for i, one in enumerate(value))
    return value


def _reference(value: Any) -> SecretReference | None:
    """What a value of no known type refers to, if it looks like a reference."""
    if isinstance(value, str):
        return SecretReference(file=value) if value.startswith(("/", "~")) else None
    if not isinstance(value, dict) or not value or not value.keys() <= _FORMS:
        return None
    try:
        return msgspec.convert(value, SecretReference)
    except msgspec.ValidationError:
        return None


@cache
def _untyped_fields(kind: type[Struct]) -> frozenset[str]:
    return frozenset(field.name for field in fields(kind) if _holds_any(field.type))


def _holds_any(annotation: Any) -> bool:
    return annotation is Any or any(_holds_any(one) for one in get_args(annotation))
