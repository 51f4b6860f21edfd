"""Finds what Nickel accepts silently: a duplicate key in JSON or YAML, a second document, a merge key.

Runs in the evaluator's child process, alone: no packages but PyYAML, and that only for YAML, for its import takes as
long as a third of an evaluation. It builds only the sets of keys of open objects, so nesting and aliases cost nothing.
"""

import importlib
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

MOST, DEEPEST = 51, 1000

_JSON = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]', re.DOTALL)


class DuplicateKey(NamedTuple):
    """`code` with the key, its offset in the text and that of the first."""

    code: str
    key: str
    offset: int
    first: int = -1


def found_in(text: str, form: str) -> list[DuplicateKey]:
    """At most MOST, in order. A `syntax-error` is PyYAML's: Nickel may read the text all the same."""
    finder = in_json(text) if form == "json" else in_yaml(text)
    return [found for found, _ in zip(finder, range(MOST), strict=False)]


def found_as_json(text: str, form: str) -> str:
    """The same as JSON, for whoever asks from another process."""
    return json.dumps(found_in(text, form))


def in_json(text: str) -> Iterator[DuplicateKey]:
    """Duplicate keys in JSON, compared after decoding, not as written."""
    open_: list[dict[str, int] | None] = []  # the keys of an object, None for an array
    key: tuple[str, int] | None = None
    for match in _JSON.finditer(text):
        mark = match.group()
        if mark == "{":
            open_.append({})
        elif mark == "[":
            open_.append(None)
        elif mark in "}]":
            if open_:
                open_.pop()
        elif mark == ":":
            keys = open_[-1] if open_ else None
            if key is not None and keys is not None:
                name, offset = key
                if name in keys:
                    yield DuplicateKey("duplicate-key", name, offset, keys[name])
                else:
                    keys[name] = offset
        key = (_meant(mark), match.start()) if mark[0] == '"' else None


def _meant(token: str) -> str:
    try:
        return str(json.loads(token, strict=False)) if "\\" in token else token[1:-1]
    except ValueError:
        return token


class _Mapping:
    def __init__(self) -> None:
        self.keys: dict[str, int] = {}
        self.is_key = True


def in_yaml(text: str) -> Iterator[DuplicateKey]:
    """Duplicate keys in YAML, compared by their text, quoted or plain, as Nickel does; an alias counts as its value."""
    yaml: Any = importlib.import_module("yaml")  # the child has imported it before it was confined
    open_: list[_Mapping | None] = []  # None for a sequence
    names: dict[str, str] = {}
    documents = 0
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        event: Any
        for event in yaml.parse(text, Loader=loader):
            kind = type(event).__name__
            if kind == "DocumentStartEvent":
                documents += 1
                names = {}
                if documents == 2:
                    yield DuplicateKey("second-document", "", event.start_mark.index)
            elif kind in ("MappingEndEvent", "SequenceEndEvent"):
                open_.pop()
                _turn(open_)
            elif kind in ("MappingStartEvent", "SequenceStartEvent"):
                if len(open_) >= DEEPEST:
                    return
                open_.append(_Mapping() if kind == "MappingStartEvent" else None)
            elif kind in ("ScalarEvent", "AliasEvent"):
                name = event.value if kind == "ScalarEvent" else names.get(event.anchor)
                if kind == "ScalarEvent" and event.anchor:
                    names[event.anchor] = event.value
                mapping = open_[-1] if open_ else None
                if mapping is not None and mapping.is_key and name is not None:
                    yield from _key(mapping, name, event)
                _turn(open_)
    except yaml.YAMLError as error:
        mark: Any = getattr(error, "problem_mark", None)
        offset = mark.index if mark else getattr(error, "position", 0)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
        yield DuplicateKey("syntax-error", str(problem), offset)


def _key(mapping: _Mapping, name: str, event: Any) -> Iterator[DuplicateKey]:
    offset = event.start_mark.index
    if name in mapping.keys:
        yield DuplicateKey("duplicate-key", name, offset, mapping.keys[name])
    elif name == "<<" and not getattr(event, "style", None):
        yield DuplicateKey("merge", name, offset)
    mapping.keys.setdefault(name, offset)


def _turn(open_: "list[_Mapping | None]") -> None:
    """A key has been read, or its value."""
    if open_ and open_[-1] is not None:
        open_[-1].is_key = not open_[-1].is_key
