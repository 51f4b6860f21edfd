"""Parses Nickel's error messages, which are text for a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import Struct

from batchwright.loader.nickel_scanner import Position

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_FRAME = re.compile(r"\s*┌─ (?P<file>.+):(?P<line>\d+):(?P<column>\d+)$")
_NOTE = re.compile(r"\s*= (?P<text>.*)$")
_SECONDARY = ("expected type", "required here", "imported here")


class Frame(Struct, frozen=True):
    """A place that a message shows, with what it says about it."""

    file: str
    place: Position
    labels: str
    snippet: tuple[str, ...] = ()  # the lines behind the bars, marks and labels below the source


class Message(Struct, frozen=True):
    """One error: its title, the text under it, the places it shows and its notes."""

    title: str
    body: str
    frames: tuple[Frame, ...]
    notes: tuple[str, ...]


def parse(text: str) -> Message:
    """The first error in what Nickel says; later ones mostly follow from it."""
    lines = _ANSI.sub("", text).strip().split("\n")
    title = lines[0].removeprefix("error: ")
    body: list[str] = []
    notes: list[str] = []
    frames: list[tuple[str, Position, list[str]]] = []
    snippet: list[str] = []
    for line in lines[1:]:
        if line.startswith(("error: ", "note:")):
            break
        if frame := _FRAME.match(line):
            snippet = []
            frames.append((frame["file"], Position(int(frame["line"]), int(frame["column"])), snippet))
        elif note := _NOTE.match(line):
            notes.append(note["text"].strip())
        elif "│" in line:
            snippet.append(line.split("│", 1)[1])
        elif line.strip():
            (notes if notes else body).append(line.strip())
    return Message(
        title,
        " ".join(body),
        tuple(
            Frame(file, place, " ".join(text.strip() for text in texts).strip(), tuple(texts))
            for file, place, texts in frames
        ),
        tuple(notes),
    )


def first_frame(message: Message, is_own: Callable[[str], bool]) -> Frame | None:
    """The frame that shows the mistake: the first in a user's file that is more than an annotation."""
    own = [frame for frame in message.frames if is_own(frame.file)]
    telling = [frame for frame in own if not frame.labels.endswith(_SECONDARY)]
    return next(iter(telling or own), None)


def labelled(message: Message, label: str) -> str:
    """The piece of source that carries `label`, empty when it is not shown on one line."""
    for frame in message.frames:
        for number, marks in enumerate(frame.snippet):
            runs = list(re.finditer(r"-+|\^+", re.split(r"[a-z]", marks, maxsplit=1)[0]))
            if not number or not runs:
                continue
            source = frame.snippet[number - 1]
            if marks.endswith(f" {label}"):
                return source[runs[-1].start() : runs[-1].end()].strip()
            for below in frame.snippet[number + 1 :]:
                found = next((run for run in runs if below[run.start() :].startswith(label)), None)
                if found:
                    return source[found.start() : found.end()].strip()
    return ""
