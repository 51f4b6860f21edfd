"""Finds duplicate keys, and whatever else of JSON and YAML would be read differently from its meaning."""

from __future__ import annotations

from collections.abc import Mapping

from batchwright.loader.duplicate_keys import DuplicateKey
from batchwright.loader.evaluator_client import Evaluator
from batchwright.loader.nickel_scanner import Places, Position
from batchwright.loader.sources import SourceFile, Sources
from batchwright.model.diagnostic import Diagnostic

KEEP_ONE = "Keep one of them."


def twice(
    evaluator: Evaluator, sources: Sources, inputs: Mapping[str, str]
) -> tuple[list[Diagnostic], list[Diagnostic]]:
    """What is to be refused in the files and the inputs; and what only YAML's own parser refuses. Raises Died."""
    refused: list[Diagnostic] = []
    doubtful: list[Diagnostic] = []
    for source in sources.nickel():
        if source.form not in ("json", "yaml"):
            continue
        text = sources.original if source == sources.main[0] and sources.original else source.text
        places = Places(text)
        for found in evaluator.repeats(text, source.form):
            into = doubtful if found.code == "syntax-error" else refused
            into.append(_diagnostic(source, found, places))
    for name, value in inputs.items():
        if value.lstrip()[:1] in ("{", "["):
            for found in evaluator.repeats(value, "json"):
                message = f'input `{name}`: the key "{found.key[:60]}" is given twice'
                start = Position(1, 1)
                refused.append(_at(sources.main[0], start, "duplicate-key", message, KEEP_ONE))
    return refused[: sources.limits.diagnostics], doubtful


def _diagnostic(source: SourceFile, found: DuplicateKey, places: Places) -> Diagnostic:
    place = places.of(found.offset)
    match found.code:
        case "duplicate-key":
            first = places.of(found.first)
            note = f"The first is at {source.shown}:{first.line}:{first.column}."
            return _at(source, place, found.code, f'the key "{found.key[:60]}" is given twice', KEEP_ONE, note)
        case "merge":
            hint = "Write out the fields, or use Nickel, which merges records with &."
            return _at(source, place, "unsupported-merge", "`<<` is not supported", hint)
        case "second-document":
            rest = source.text[found.offset :].removeprefix("---")
            is_empty = not any(line.split("#")[0].strip(" \t.-\r") for line in rest.split("\n"))
            what = "an empty second document" if is_empty else "a second document"
            hint = "Remove this `---`." if is_empty else "A workflow file contains one document."
            return _at(source, place, found.code, f"{what} starts here", hint)
    return _at(source, place, "syntax-error", f"invalid YAML: {found.key}")


def _at(source: SourceFile, place: Position, code: str, message: str, hint: str = "", *notes: str) -> Diagnostic:
    return Diagnostic(
        code, message, file=source.shown, line=place.line, column=place.column, hint=hint, notes=tuple(notes)
    )
