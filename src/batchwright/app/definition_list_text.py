"""The text of a workflow file as far as edits need it: where an item of a list stands, and how one more is written.

Nickel and JSON are edited between brackets, YAML by lines. What an edit makes is loaded and compared afterwards, so
that a text which is written in another way than is understood here is refused and never changed wrongly.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from batchwright.errors import UsageError
from batchwright.loader import SourceLocation, nickel_scanner

BY_HAND = "Change it by hand, where the file makes it; `batchwright plan` shows whether it is as meant."
Plain = str | int | float | bool
Literal = Plain | Sequence["Literal"] | Mapping[str, "Literal"]
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SCALAR = r'(?:"(?:[^"\\]|\\.)*"|\'[^\']*\'|[^\s#,\[\]{}"\'](?:[^#\n]*[^# \n])?)'


class Item(Struct, frozen=True):
    """From where to where an item stands in a text. In YAML these are whole lines."""

    begin: int
    end: int


def is_yaml(name: str) -> bool:
    """Whether a file of this name is YAML."""
    return name.endswith((".yaml", ".yml"))


def text_of(file: Path) -> tuple[str, str]:
    """The text of a file with plain line ends, and how its lines really end. Raises UsageError."""
    raw = file.read_bytes().decode()
    text = raw.replace("\r\n", "\n")
    ending = "\r\n" if "\r\n" in raw else "\n"
    if "\r" in text or text.replace("\n", ending) != raw:
        raise UsageError(f"the lines of {file} end in different ways", hint=BY_HAND)
    return text, ending


def patch(name: str, before: str, after: str) -> str:
    """The unified diff of two texts, as `patch -p1` and `git apply` read it."""
    old, new = (re.findall(r"[^\n]*\n|[^\n]+", text) for text in (before, after))
    made = difflib.unified_diff(old, new, f"a/{name}", f"b/{name}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in made)


def literal(value: Literal, name: str) -> str:
    """A value as it is written in a file of this name; JSON is YAML too. Raises UsageError."""
    if name.endswith(".ncl"):
        return _nickel(value)
    return json.dumps(value, ensure_ascii=False)


def _nickel(value: Literal) -> str:
    if isinstance(value, Mapping):
        keys = {key: key if _IDENTIFIER.fullmatch(key) else json.dumps(key) for key in value}
        return f"{{ {', '.join(f'{keys[key]} = {_nickel(one)}' for key, one in value.items())} }}"
    if isinstance(value, str):
        if "%{" in value:
            raise UsageError(f"{value!r} would be computed by Nickel", hint=BY_HAND)
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_nickel, value))}]"
    return json.dumps(value)


def item_at(text: str, name: str, spot: SourceLocation) -> Item:
    """The record or list that begins at this place. Raises UsageError if none does."""
    begin = nickel_scanner.Places(text).offset(nickel_scanner.Position(spot.line, spot.column))
    if is_yaml(name) and text[begin : begin + 1] not in ("{", "["):
        return _lines_at(text, begin)
    depth = 0
    for token in nickel_scanner.tokens(text):
        if token.offset < begin:
            continue
        if token.offset == begin and token.kind != "open":
            break
        depth += (token.kind == "open") - (token.kind == "close")
        if depth == 0:
            return Item(begin, token.offset + len(token.text))
    raise UsageError(f"line {spot.line} of {name} is not a record that is written out", hint=BY_HAND)


def _lines_at(text: str, begin: int) -> Item:
    """The lines of a YAML list, or of one of its items. Raises UsageError for anything else."""
    start = text.rfind("\n", 0, begin) + 1
    whole = text[begin] == "-"
    if not whole and text[begin - 2 : begin] != "- ":
        raise UsageError("it is not an item of a list in the file", hint=BY_HAND)
    depth = begin - start - (0 if whole else 2)
    end = at = start
    for number, line in enumerate(text[start:].splitlines(keepends=True)):
        indent = len(line) - len(line.lstrip(" "))
        goes_on = indent > depth or (whole and indent == depth and line.startswith("-", depth))
        if number and line.strip() and not goes_on:
            break
        at += len(line)
        end = at if line.strip() else end
    return Item(start, end)


def with_fields(piece: str, name: str, wanted: Mapping[str, str]) -> str:
    """A record with other texts in these fields, which it must have as plain texts. Raises UsageError."""
    fields = _yaml_fields(piece) if is_yaml(name) and not piece.lstrip().startswith("{") else _fields(piece)
    lacks = [field for field in wanted if field not in fields]
    if lacks:
        raise UsageError(f"{' and '.join(lacks)} of the server: no plain text in the file", hint=BY_HAND)
    for field, value in sorted(wanted.items(), key=lambda one: -fields[one[0]][0]):
        begin, end = fields[field]
        piece = f"{piece[:begin]}{json.dumps(value, ensure_ascii=False)}{piece[end:]}"
    return piece


def _fields(piece: str) -> dict[str, tuple[int, int]]:
    """Where the values of those fields of a bracketed record stand that are plain texts."""
    found: dict[str, tuple[int, int]] = {}
    depth = 0
    stream = list(nickel_scanner.tokens(piece))
    for at, token in enumerate(stream):
        depth += (token.kind == "open") - (token.kind == "close")
        if depth != 1 or token.kind not in ("word", "text") or at + 2 >= len(stream):
            continue
        joint, value = stream[at + 1 : at + 3]
        if joint.text in ("=", ":") and value.kind == "text":
            found[token.text] = (value.offset, piece.index('"', value.offset + 1) + 1)
    return found


def _yaml_fields(piece: str) -> dict[str, tuple[int, int]]:
    """The same of the lines of a YAML item: the fields that stand as deep as its first one."""
    first = re.match(r"[ ]*(?:- )?", piece)
    indent = first.end() if first else 0
    begin = rf"^(?:[ ]{{{indent}}}|[ ]{{{max(0, indent - 2)}}}- )"
    pattern = re.compile(rf"{begin}(\w+):[ ]+({_SCALAR})[ ]*(?:#.*)?$", re.MULTILINE)
    return {match[1]: (match.start(2), match.end(2)) for match in pattern.finditer(piece)}


def with_copies(text: str, item: Item, copies: Sequence[str]) -> str:
    """The text with more items behind one of a list, or more fields behind one of a record."""
    if _is_lines(text, item):
        glue = "" if text[item.begin : item.end].endswith("\n") else "\n"
        return f"{text[: item.end]}{glue}{''.join(copies)}{text[item.end :]}"
    before = text[: item.begin].rpartition("\n")[2]
    own_line = not before.strip() or before.rstrip().endswith(("=", ":"))
    joint = f",\n{before[: len(before) - len(before.lstrip())]}" if own_line else ", "
    return text[: item.end] + "".join(joint + copy for copy in copies) + text[item.end :]


def _is_lines(text: str, item: Item) -> bool:
    return text[item.begin] in " -"


def without(text: str, item: Item) -> str:
    """The text without an item of a list, its comma, and the line if nothing else stands on it.

    Raises UsageError.
    """
    if _is_lines(text, item):
        return text[: item.begin] + text[item.end :]
    begin, end = item.begin, item.end
    before = [token for token in nickel_scanner.tokens(text[:begin]) if token.kind != "unclosed"][-1:]
    if not before or before[0].text not in ("[", ","):
        raise UsageError("what makes the server makes others too: it is not written out", hint=BY_HAND)
    behind = re.compile(r"[ \t\r\n]*,").match(text, end)
    if behind:
        end = behind.end()
    else:
        comma = re.search(r",[ \t\r\n]*$", text[:begin])
        begin = comma.start() if comma else begin
    line = text[:begin].rpartition("\n")[2]
    rest = re.compile(r"[ \t]*(?:\#[^\n]*)?\n").match(text, end)
    if rest and not line.strip() and behind:
        return text[: begin - len(line)] + text[rest.end() :]
    return text[:begin] + text[end:].removeprefix(" " if behind else "")


def with_last(text: str, item: Item, entry: str) -> str:
    """The text with one more entry at the end of a list, which is a bracketed one or the lines of a YAML one."""
    if text[item.begin] != "[":
        lines = text[item.begin : item.end]
        indent = len(lines) - len(lines.lstrip(" "))
        glue = "" if lines.endswith("\n") else "\n"
        return f"{text[: item.end]}{glue}{' ' * indent}- {entry}\n{text[item.end :]}"
    inner = text[item.begin + 1 : item.end - 1]
    kept = inner.rstrip()
    comma = "" if not kept or kept.endswith(",") else ","
    space = " " if kept else ""
    tail = inner[len(kept) :]
    if "\n" in tail and kept:
        last = kept.rpartition("\n")[2]
        space = "\n" + last[: len(last) - len(last.lstrip())]
    return f"{text[: item.begin + 1]}{kept}{comma}{space}{entry}{tail}{text[item.end - 1 :]}"
