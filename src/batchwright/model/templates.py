"""`${...}` in a workflow's texts: what is the shell's, what is a reference, and `$${`, which means `${`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from batchwright.model.workflow import Workflow

ROOTS = ("server", "servers", "operations", "outputs", "run", "workflow")
SHOWN = 60

_FILLED = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z0-9_.-]+)\}")
_OPENING = re.compile(r"\$\$\{|\$\{")
_DOTTED = re.compile(r"(?P<blank>\s*)(?P<root>[A-Za-z_][A-Za-z0-9_]*)\s*\.")
_NAME = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_-]*)")


class Reference(Struct, frozen=True):
    """A `${...}` as written, at most SHOWN characters of it, and the name it begins with, which may be empty."""

    written: str
    root: str


def references(text: str, *, script: bool) -> Iterator[Reference]:
    """Every `${` of a text that is not escaped. With `script` those without a dot behind the name are the shell's."""
    for opening in _OPENING.finditer(text):
        if opening.group() == "$${":
            continue
        dotted = _DOTTED.match(text, opening.end())
        if script and (dotted is None or (dotted["blank"] and dotted["root"] not in ROOTS)):
            continue
        name = _NAME.match(text, opening.end())
        rest = text[opening.start() : opening.start() + SHOWN].partition("\n")[0]
        written, end, _ = rest.partition("}")
        yield Reference(written + end, name.group(1) if name else "")


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with the values of known references, `${` for each `$${`, and everything else unchanged."""

    def fill(found: re.Match[str]) -> str:
        return "${" if found["name"] is None else values.get(found["name"], found.group())

    return _FILLED.sub(fill, text)


def literal(workflow: Workflow) -> Workflow:
    """The workflow as servers and programs are given it, with `${` for each `$${`.

    The variables of task services stay as they are: they are filled in when they are used.
    """
    operations = tuple(op if op.fills_later else _literal(op) for op in workflow.operations)
    return replace(workflow, operations=operations)


def _literal(value: Any) -> Any:
    if isinstance(value, str):
        return filled(value, {}) if "$${" in value else value
    if isinstance(value, Struct):
        parts = {name: _literal(getattr(value, name)) for name in value.__struct_fields__}
        changed = {name: part for name, part in parts.items() if part is not getattr(value, name)}
        return replace(value, **changed) if changed else value
    if isinstance(value, dict):
        parts = {key: _literal(part) for key, part in value.items()}
        return parts if any(parts[key] is not value[key] for key in parts) else value
    if isinstance(value, list | tuple):
        made = [_literal(part) for part in value]
        return type(value)(made) if any(a is not b for a, b in zip(made, value, strict=True)) else value
    return value
