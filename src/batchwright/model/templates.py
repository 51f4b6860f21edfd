"""`${...}` in a workflow's texts: references to values, what is the shell's, and `$${`, which means `${`.

Read from left to right, `$${` gives `${` and `${ROOT.SEGMENT...}` is a reference, without blanks and without nesting.
What a reference stands for is put in as it is: a value is never read as a template.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from batchwright.model.workflow import Workflow

Value = str | tuple[str, ...]  # what a reference stands for; several for one to all servers of an operation
Values = Mapping[str, Value]  # by reference, as it is written between the braces

SHOWN = 60


class Root(StrEnum):
    """What a reference is about."""

    SERVER = "server"  # the server that the step works on
    SERVERS = "servers"
    OPERATIONS = "operations"
    OUTPUTS = "outputs"
    RUN = "run"
    WORKFLOW = "workflow"


_ROOTS = "|".join(Root)
_SEGMENTS = r"(?:\.[A-Za-z0-9_-]+)+"
_TOKEN = re.compile(rf"\$\$\{{|\$\{{(?P<name>(?:{_ROOTS}){_SEGMENTS})\}}")
_OPENING = re.compile(r"\$\$\{|\$\{")
_DOTTED = re.compile(r"(?P<blank>\s*)(?P<root>[A-Za-z_][A-Za-z0-9_]*)\s*\.")
_NAME = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_-]*)")


class Reference(Struct, frozen=True):
    """A reference as it is written between the braces, such as `servers.db-1.address`."""

    path: str

    @property
    def root(self) -> Root:
        """What it is about."""
        return Root(self.path.partition(".")[0])

    @property
    def segments(self) -> tuple[str, ...]:
        """What follows the root."""
        return tuple(self.path.split(".")[1:])

    @property
    def is_list(self) -> bool:
        """Whether it stands for several values, which a text joins with commas."""
        return self.root is Root.OPERATIONS

    @property
    def is_own(self) -> bool:
        """Whether it is about the step's own server, and so not the same for all steps of an operation."""
        return self.root is Root.SERVER

    def __str__(self) -> str:
        return f"${{{self.path}}}"


class PlannedValue(Struct, frozen=True, omit_defaults=True):
    """What a reference stands for, as far as planning knows; None: it is known once `after` is there, or has run."""

    reference: str
    value: Value | None = None
    after: str = ""


class Malformed(Struct, frozen=True):
    """A `${...}` that is no reference, as written (at most SHOWN characters), and the name that it begins with."""

    written: str
    root: str


def references(text: str) -> Iterator[Reference]:
    """Every reference in a text, in its order."""
    return (Reference(found["name"]) for found in _TOKEN.finditer(text) if found["name"] is not None)


def alone(text: str) -> Reference | None:
    """The reference that is the whole text, if it is one."""
    found = _TOKEN.fullmatch(text)
    return Reference(found["name"]) if found and found["name"] is not None else None


def malformed(text: str, *, script: bool) -> Iterator[Malformed]:
    """Every `${` of a text that is neither escaped nor a reference.

    With `script` those without a dot behind the name are the shell's, which has no dots in its names.
    """
    for opening in _OPENING.finditer(text):
        if opening.group() == "$${" or _TOKEN.match(text, opening.start()):
            continue
        dotted = _DOTTED.match(text, opening.end())
        if script and (dotted is None or (dotted["blank"] and dotted["root"] not in list(Root))):
            continue
        name = _NAME.match(text, opening.end())
        rest = text[opening.start() : opening.start() + SHOWN].partition("\n")[0]
        written, end, _ = rest.partition("}")
        yield Malformed(written + end, name.group(1) if name else "")


def joined(value: Value) -> str:
    """A value as a text."""
    return value if isinstance(value, str) else ",".join(value)


def filled(text: str, values: Values) -> str:
    """The text with known values, `${` for each `$${`, and everything else unchanged."""

    def fill(found: re.Match[str]) -> str:
        if found["name"] is None:
            return "${"
        return joined(values[found["name"]]) if found["name"] in values else found.group()

    return _TOKEN.sub(fill, text)


def named(texts: Iterable[str]) -> tuple[str, ...]:
    """All references in some texts, each once, sorted."""
    return tuple(sorted({one.path for text in texts for one in references(text)}))


def literal(workflow: Workflow) -> Workflow:
    """The workflow with `${` for each `$${` where no references are allowed."""
    return replace(workflow, operations=tuple(map(_literal, workflow.operations)))


def _literal(value: Any) -> Any:
    if isinstance(value, str):
        return filled(value, {}) if "$${" in value else value
    if isinstance(value, Struct):
        later: frozenset[str] = getattr(value, "templates", frozenset())
        parts = {name: _literal(getattr(value, name)) for name in value.__struct_fields__ if name not in later}
        changed = {name: part for name, part in parts.items() if part is not getattr(value, name)}
        return replace(value, **changed) if changed else value
    if isinstance(value, dict):
        parts = {key: _literal(part) for key, part in value.items()}
        return parts if any(parts[key] is not value[key] for key in parts) else value
    if isinstance(value, list | tuple):
        made = [_literal(part) for part in value]
        return type(value)(made) if any(a is not b for a, b in zip(made, value, strict=True)) else value
    return value
