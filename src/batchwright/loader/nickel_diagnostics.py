"""From Nickel's errors to diagnostics: the position in the user's file, and the explanation."""

from __future__ import annotations

import re

from batchwright.loader import nickel_message_parser
from batchwright.loader.evaluator_client import NickelError
from batchwright.loader.nickel_explanations import explain
from batchwright.loader.nickel_scanner import Places, Position
from batchwright.loader.sources import SourceFile, Sources
from batchwright.model.diagnostic import Diagnostic


def place_of(message: nickel_message_parser.Message, sources: Sources) -> tuple[SourceFile, Position] | None:
    """The position in a user's file of a message, None if it names no such file."""
    frame = nickel_message_parser.first_frame(message, lambda file: sources.shown(file) is not None)
    source = sources.shown(frame.file) if frame else None
    if not frame or not source:
        return None
    return source, Position(frame.place.line - source.above, frame.place.column)


def explained(error: NickelError, sources: Sources) -> tuple[Diagnostic, bool]:
    """An error of Nickel's as a diagnostic, and whether it prevents the evaluation of the files."""
    message = nickel_message_parser.parse(error.args[0])
    source, place = place_of(message, sources) or (sources.main[0], Position(1, 1))
    explanation = explain(message, source, place)
    place = explanation.place or place
    diagnostic = Diagnostic(
        explanation.code,
        explanation.message,
        file=source.shown,
        line=place.line,
        column=place.column,
        hint=explanation.hint,
        notes=explanation.notes or _other_places(message, sources, source),
    )
    return diagnostic, explanation.final


def _other_places(message: nickel_message_parser.Message, sources: Sources, source: SourceFile) -> tuple[str, ...]:
    """The other positions of a conflict between two files."""
    if "mergeable" not in message.title:
        return ()
    others = [(found, frame.place) for frame in message.frames if (found := sources.shown(frame.file))]
    return tuple(
        f"The other is at {one.shown}:{at.line - one.above}:{at.column}." for one, at in others if one != source
    )


def at_name(source: SourceFile, place: Position, name: str) -> Position:
    """The position of a field's name on the line of its value, if it comes before the value."""
    before = source.line(place.line)[: place.column - 1]
    at = before.rfind(name)
    if at < 0:
        return place
    quoted = at > 0 and before[at - 1] == '"'
    return Position(place.line, at + 1 - quoted)


def below(source: SourceFile, place: Position, name: str) -> Position:
    """The first field of this name behind `place`, which is where its record begins; else `place`."""
    lines = source.text.split("\n")[place.line - 1 :]
    text = "\n".join(lines)
    field = re.compile(rf'"?\b{re.escape(name)}"?\s*[=:|]')
    if match := field.search(text, place.column - 1):
        found = Places(text).of(match.start())
        return Position(found.line + place.line - 1, found.column)
    return place
