"""Nickel's own errors in our words: a stable code, a message, and a hint for common mistakes."""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from batchwright.loader import nickel_scanner
from batchwright.loader.nickel_message_parser import Message, labelled
from batchwright.loader.nickel_scanner import Position
from batchwright.loader.sources import SourceFile


class ErrorExplanation(Struct, frozen=True):
    """The replacement for Nickel's words. `place`: a better position; `final`: nothing can be evaluated."""

    code: str
    message: str
    hint: str = ""
    place: Position | None = None
    final: bool = False
    notes: tuple[str, ...] = ()


class Case(Struct, frozen=True):
    """An error to explain: `match` is the match of its title, `place` its position in `source`."""

    message: Message
    match: re.Match[str]
    source: SourceFile
    place: Position


Explainer = Callable[[Case], ErrorExplanation]


def explain(message: Message, source: SourceFile, place: Position) -> ErrorExplanation:
    """Explain an error whose place in `source` is `place`."""
    for pattern, how in _EXPLAINERS:
        if match := pattern.match(message.title):
            return how if isinstance(how, ErrorExplanation) else how(Case(message, match, source, place))
    return ErrorExplanation(
        "evaluation-error", " ".join([message.title, message.body]).strip(), " ".join(message.notes)
    )


def _token(case: Case) -> ErrorExplanation:
    line = case.source.line(case.place.line)
    found = re.match(r'[\w-]+|"[^"]*"|[^\w\s]+', line[case.place.column - 1 :])
    text = f"unexpected `{found.group()}`" if found else "unexpected token"
    return ErrorExplanation("syntax-error", text, _token_hint(case, line), final=True)


def _token_hint(case: Case, line: str) -> str:
    before, rest = line[: case.place.column - 1], line[case.place.column - 1 :]
    if rest.startswith("//"):
        return "A comment starts with #."
    if rest.startswith("=") and not re.search(r"[{(]", _text_before(case)):
        return "A file is one record: enclose it in { and }."
    is_value = re.fullmatch(r"\s*[\w-]+\s+", before) and not rest.startswith("=")
    if rest.startswith("==") or is_value:
        return "Write a field as: name = value"
    if re.fullmatch(r"\s*(?:[\w-]+|\"[^\"]*\")?\s*", before):
        for number in range(case.place.line - 1, 0, -1):
            above = case.source.line(number).split("#")[0].rstrip()
            if above:
                if above.endswith(";"):
                    return f"Line {number} ends with a semicolon; Nickel uses commas."
                is_end = re.search(r"[\w\"\])}]$", above)
                return f"A comma may be missing at the end of line {number}." if is_end else ""
    return ""


def _end(case: Case) -> ErrorExplanation:
    if not re.sub(r"#[^\n]*", "", case.source.text).strip():
        hint = "docs/workflow-file.md shows a minimal workflow."
        return ErrorExplanation("empty-file", "the file is empty", hint, Position(1, 1), True)
    if left := nickel_scanner.unclosed(case.source.text):
        opening, opened = left
        return ErrorExplanation("syntax-error", f"{opening} is opened here and never closed", "", opened, True)
    return ErrorExplanation("syntax-error", "the file ends unexpectedly", final=True)


def _other_syntax(case: Case) -> ErrorExplanation:
    hint = "Write a backslash as \\\\" if "escape" in case.message.title else ""
    return ErrorExplanation("syntax-error", case.message.title, hint, final=True)


def _annotation(case: Case) -> ErrorExplanation:
    before = case.source.line(case.place.line)[: case.place.column - 1].rstrip()
    if re.search(r'"[^"]*"\s*:$', before):
        hint = "This looks like JSON: name the file *.json, or write name = value."
    elif before.endswith(":"):
        hint = "A field uses =, not a colon: name = value"
    else:
        hint = "What follows : or | must be a contract."
    return ErrorExplanation("syntax-error", "this cannot be used as a contract", hint, final=True)


def _unbound(case: Case) -> ErrorExplanation:
    name = case.match["name"]
    if name.startswith("_anchor"):
        hint = "Nickel loses aliases when it merges an imported YAML file: write out the values."
        return ErrorExplanation("unsupported-alias", "a YAML alias refers to nothing", hint, final=True)
    if name.lower() in ("yes", "no", "on", "off", "true", "false"):
        hint = "Write a boolean as true or false."
    elif name.lower() in ("none", "nil", "undefined"):
        hint = "To leave a field out, remove it."
    else:
        hint = f'A text needs quotes: "{name}"'
    return ErrorExplanation("unbound-name", f"`{name}` is not defined", hint, final=True)


def _data(case: Case) -> ErrorExplanation:
    reason = re.sub(r" at byte \d+ line \d+ column \d+", "", case.match["reason"])
    hint = ""
    if case.match["form"] == "json" and re.search(r",\s*$", _text_before(case)):
        hint = "JSON allows no comma after the last element."
    return ErrorExplanation("syntax-error", f"invalid {case.match['form'].upper()}: {reason}", hint, final=True)


def _text_before(case: Case) -> str:
    lines = case.source.text.split("\n")[: case.place.line]
    return "\n".join([*lines[:-1], lines[-1][: case.place.column - 1]]) if lines else ""


def _type(case: Case) -> ErrorExplanation:
    labels = " ".join(frame.labels for frame in case.message.frames)
    expected = re.search(r"has type (\w+), but (\w+) was expected", labels)
    text = f"expected a {expected[2]}, got a {expected[1]}" if expected else case.message.title
    notes = " ".join(case.message.notes)
    hint = "Use ++ to join texts." if "(+)" in notes and expected and expected[1] == "String" else notes
    return ErrorExplanation("type-error", text, hint)


def _static_type(case: Case) -> ErrorExplanation:
    return ErrorExplanation("type-error", case.message.title, ". ".join(case.message.notes), final=True)


def _has_let(case: Case, name: str) -> bool:
    written = rf"\blet\b(?:[^{{}}\"]*,)?\s*(?:rec\s+)?{re.escape(name)}\s*[=:|]"
    return re.search(written, case.source.text) is not None


def _recursion(case: Case) -> ErrorExplanation:
    line = case.source.line(case.place.line)[case.place.column - 1 :]
    name = re.match(r"_*[A-Za-z][A-Za-z0-9_'-]*", line)
    if name and _has_let(case, name.group()):
        return replace(_RECURSION, hint=_shadowed(name.group()))
    return _RECURSION


def _shadowed(name: str) -> str:
    return (
        f"Inside the record `{name}` is the record's own field and hides the `let {name}` around it: rename the `let`."
    )


def _definition(case: Case) -> ErrorExplanation:
    name = case.match["name"]
    if _has_let(case, name):
        return ErrorExplanation("missing-definition", f"`{name}` has no value", _shadowed(name))
    hint = f"Write {name} = VALUE; for an input of the file: --set {name}=VALUE"
    return ErrorExplanation("missing-definition", f"`{name}` has no value", hint)


def _field(case: Case) -> ErrorExplanation:
    return ErrorExplanation("no-such-field", f"there is no field `{case.match['name']}` here")


def _conflict(case: Case) -> ErrorExplanation:
    path = nickel_scanner.path_at(case.source.text, case.place)
    while path:
        places = nickel_scanner.definitions(case.source.text, path)
        if len(places) > 1:
            first, *_, last = places
            note = f"The first is at {case.source.shown}:{first.line}:{first.column}."
            message = f"the key `{path[-1]}` is given twice"
            return ErrorExplanation("duplicate-key", message, "Keep one of them.", last, notes=(note,))
        path = path[:-1] if isinstance(path[-1], int) else ()
    return _CONFLICT


def _contract(case: Case) -> ErrorExplanation:
    if any("a merge operation on two arrays" in note for note in case.message.notes):
        return _conflict(case)
    title, body, notes = case.message.title, case.message.body, " ".join(case.message.notes)
    expected = labelled(case.message, "expected type")
    if "std.fail_with" in notes:
        return ErrorExplanation("contract-broken", body, "The file itself raises this error with std.fail_with.")
    if body:
        return ErrorExplanation("contract-broken", f"{title}: {body}", notes)
    return ErrorExplanation("contract-broken", f"{title}: expected {expected}" if expected else title, notes)


_IMPORT = ErrorExplanation(
    "import-not-found", "this import cannot be read", "The path is relative to this file.", final=True
)
_CALL = ErrorExplanation(
    "type-error",
    "this value is called like a function",
    "A comma or an operator may be missing after it.",
)
_CONFLICT = ErrorExplanation(
    "merge-conflict",
    "this value is defined twice, with different values",
    "Keep one of them; to overlay a value, mark the base value `| default` or the overlay value `| force`.",
)
_RECURSION = ErrorExplanation(
    "infinite-recursion",
    "this value is defined in terms of itself",
    "Inside a record, a name refers to the record's own field; use another name or `let`.",
)

_NO_DATA = ErrorExplanation(
    "evaluation-error",
    "this is not data: it is or contains a function",
    "A result consists of texts, numbers, true, false, null, arrays and records.",
)

_EXPLAINERS: tuple[tuple[re.Pattern[str], Explainer | ErrorExplanation], ...] = tuple(
    (re.compile(pattern), how)
    for pattern, how in (
        (r"(?P<form>json|yaml) parse error: (?P<reason>.*)", _data),
        ("unexpected token", _token),
        ("unexpected end of file", _end),
        ("unmatched closing brace|invalid escape sequence|.*parse error", _other_syntax),
        ("invalid contract expression", _annotation),
        ("unbound identifier `(?P<name>.+)`", _unbound),
        ("import of .* failed|tried to import", _IMPORT),
        ("dynamic type error", _type),
        ("incompatible types|.*type.*mismatch", _static_type),
        ("non serializable term", _NO_DATA),
        ("not a function", _CALL),
        ("non mergeable terms", _conflict),
        ("missing definition for `(?P<name>.+)`", _definition),
        ("missing field `(?P<name>.+)`", _field),
        ("infinite recursion", _recursion),
        ("contract broken by", _contract),
    )
)
