"""Reads Nickel source just closely enough to find its imports and the bracket or quote that is never closed."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Generator, Iterator

from msgspec import Struct


class Place(Struct, frozen=True, order=True):
    """A place in a text; both count from 1, columns in characters."""

    line: int
    column: int


class Token(Struct, frozen=True):
    """`kind` is import, text, word, open, close, or unclosed for what the text ends in the middle of."""

    kind: str
    text: str
    offset: int


class _Text(Struct):
    """A string being read: where it began and how it goes on. `marks` is the number of % of a multi-line one."""

    offset: int
    opening: str
    marks: int = 0
    plain: bool = True  # no interpolation so far
    start: int = 0


_CODE = re.compile(
    r"""(?P<comment>\#[^\n]*)
      | (?P<multi>[A-Za-z_][\w'-]*?%+")
      | (?P<quote>")
      | (?P<word>[A-Za-z_][\w'-]*)
      | (?P<open>[\[({])
      | (?P<close>[\])}])
      | (?P<other>[^\s\w])""",
    re.VERBOSE,
)
_IN_QUOTES = re.compile(r'\\.|%\{|"', re.DOTALL)


def tokens(source: str) -> Iterator[Token]:
    """The tokens of a Nickel text, interpolated expressions included; never fails, whatever the text."""
    stack: list[_Text | Token] = []  # what is open: strings and brackets, innermost last
    at = 0
    while at < len(source):
        if stack and isinstance(top := stack[-1], _Text):
            at = yield from _in_text(source, at, top, stack)
            continue
        match = _CODE.search(source, at)
        if match is None:
            break
        kind, text, at = str(match.lastgroup), match.group(), match.end()
        if kind == "multi":
            stack.append(_Text(match.start(), text, marks=text.count("%"), start=at))
        elif kind == "quote":
            stack.append(_Text(match.start(), text, start=at))
        elif kind == "open":
            token = Token(kind, text, match.start())
            stack.append(token)
            yield token
        elif kind == "close":
            if stack:
                stack.pop()  # back into the string, too, when this closes an interpolation
            yield Token(kind, text, match.start())
        elif kind == "word":
            yield Token("import" if text == "import" else kind, text, match.start())
        elif kind == "other":
            yield Token(kind, text, match.start())
    for left in stack:
        yield Token("unclosed", left.opening if isinstance(left, _Text) else left.text, left.offset)


def _in_text(source: str, at: int, top: _Text, stack: list[_Text | Token]) -> Generator[Token, None, int]:
    """Go on inside a string; the generator's value is the offset behind what was read."""
    pattern = re.compile(f'"{"%" * top.marks}(?!%)|{"%" * top.marks}{{') if top.marks else _IN_QUOTES
    match = pattern.search(source, at)
    if match is None:
        return len(source)
    text = match.group()
    if text.endswith("{"):
        top.plain = False
        stack.append(Token("open", "{", match.end() - 1))
    elif text.startswith('"'):
        stack.pop()
        yield Token("text" if top.plain else "template", source[top.start : match.start()], top.offset)
    return match.end()


class Import(Struct, frozen=True):
    """An import as written. `target` is None when it is not a plain text; `form` is what follows `as`.

    `place` is that of the target, or of the word import without one.
    """

    target: str | None
    form: str
    place: Place


def imports(source: str) -> list[Import]:
    """Every import of a Nickel text, in order."""
    if "import" not in source:
        return []
    found = []
    stream = [token for token in tokens(source) if token.kind != "close"]
    places = Places(source)
    for number, token in enumerate(stream):
        if token.kind != "import":
            continue
        target, tag, quote, form = (stream[number + 1 : number + 5] + [token] * 4)[:4]
        plain = target.kind == "text" and "\\" not in target.text
        is_tagged = tag.text == "as" and quote.text == "'"
        place = places.of(target.offset if plain else token.offset)
        found.append(Import(target.text if plain else None, form.text if is_tagged else "", place))
    return found


def unclosed(source: str) -> tuple[str, Place] | None:
    """The bracket or quote that is never closed: a quote if there is one, else the outermost bracket.

    A missing quote turns all later texts inside out, so the first text that goes over a line's end is the guess.
    """
    stream = list(tokens(source))
    left = [token for token in stream if token.kind == "unclosed"]
    if not left:
        return None
    token = next((token for token in left if '"' in token.text), left[0])
    if token.text == '"':
        broken = (one for one in stream if one.kind == "text" and "\n" in one.text and source[one.offset] == '"')
        token = next(broken, token)
    return '"' if token.kind == "text" else token.text, Places(source).of(token.offset)


class _Level(Struct):
    """A record or array around a place: where in it the place is. `is_named`: the name is read, the value follows."""

    is_array: bool
    number: int = 0
    names: list[str] = []
    is_named: bool = False


def path_at(source: str, place: Place) -> tuple[str | int, ...]:
    """The path that brackets and field names give to a place; only a guess where the text computes something."""
    end = Places(source).offset(place)
    levels: list[_Level] = []
    for token in tokens(source):
        if token.offset > end:
            break
        level = levels[-1] if levels else None
        if token.kind == "open":
            levels.append(_Level(token.text == "["))
        elif token.kind == "close" and levels:
            levels.pop()
        elif level is None:
            continue
        elif token.text == ",":
            level.number, level.names, level.is_named = level.number + 1, [], False
        elif not level.is_array and token.kind in ("word", "text", "import") and not level.is_named:
            level.names.append(token.text)
        elif token.text in ("=", "|", ":"):
            level.is_named = True
    steps: list[str | int] = []
    for level in levels:
        steps += [level.number] if level.is_array else level.names if level.is_named else []
    return tuple(steps)


class Places:
    """Offsets to places."""

    def __init__(self, source: str) -> None:
        self._starts = [0, *(match.end() for match in re.finditer("\n", source))]

    def of(self, offset: int) -> Place:
        """The place of a character."""
        line = bisect_right(self._starts, offset)
        return Place(line, offset - self._starts[line - 1] + 1)

    def offset(self, place: Place) -> int:
        """The character at a place."""
        return self._starts[place.line - 1] + place.column - 1
