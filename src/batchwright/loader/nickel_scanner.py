"""Reads Nickel source just closely enough to find its imports and the bracket or quote that is never closed.

The tokens are those of Nickel's own lexer, with its longest match and its modes: code, "text", and m%"text"% whose
interpolations count the percent signs. What that lexer refuses is a token `unsure`: behind it nothing is certain.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Generator, Iterator

from msgspec import Struct


class Position(Struct, frozen=True, order=True):
    """A place in a text; both count from 1, columns in characters."""

    line: int
    column: int


class NickelToken(Struct, frozen=True):
    """`kind` is import, text, template, word, tag, number, open, close, other; unclosed for what the text ends in the
    middle of; unsure for what Nickel does not read."""

    kind: str
    text: str
    offset: int


class _Text(Struct):
    """A string being read: its start and how it continues. `marks` is the number of % of a multi-line one."""

    offset: int
    opening: str
    marks: int = 0
    plain: bool = True  # no interpolation so far
    start: int = 0


_CODE = re.compile(
    r"""(?P<comment>\#[^\n]*)
      | (?P<multi>(?:m|[A-Za-z][A-Za-z0-9_'-]*-s)%+")
      | (?P<quote>'?")
      | (?P<word>_*[A-Za-z][A-Za-z0-9_'-]*)
      | (?P<multitag>'m%+")
      | (?P<tag>'_*[A-Za-z][A-Za-z0-9_'-]*)
      | (?P<number>0x[A-Fa-f0-9]+|0o[0-7]+|0b[01]+|[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)
      | (?P<open>[\[({])
      | (?P<close>[\])}])
      | (?P<blank>(?:\r\n|[\ \t\n])+)
      | (?P<other>_+|[-+*/%@&|!?.,:;=<>$])
      | (?P<unsure>.)""",
    re.VERBOSE | re.DOTALL,
)
_IN_QUOTES = re.compile(r'\\.|%\{|"', re.DOTALL)
_IN_MULTI = re.compile(r'(?P<quote>"?)(?P<marks>%+)(?P<brace>\{?)')
_PAIRS = {"}": "{", "]": "[", ")": "("}


def tokens(source: str) -> Iterator[NickelToken]:
    """The tokens of a Nickel text, interpolated expressions included; never fails, whatever the text."""
    stack: list[_Text | NickelToken] = []  # what is open: strings and brackets, innermost last
    at = 0
    while at < len(source):
        if stack and isinstance(top := stack[-1], _Text):
            at = yield from (_in_multi if top.marks else _in_quotes)(source, at, top, stack)
            continue
        match = _CODE.match(source, at)
        assert match is not None
        kind, text, at = str(match.lastgroup), match.group(), match.end()
        if kind in ("multi", "quote"):
            stack.append(_Text(match.start(), text, marks=text.count("%"), start=at))
        elif kind == "open":
            stack.append(token := NickelToken(kind, text, match.start()))
            yield token
        elif kind == "close":
            yield from _close(NickelToken(kind, text, match.start()), stack)
        elif kind == "multitag":
            yield NickelToken("unsure", text, match.start())
        elif kind not in ("comment", "blank"):
            yield NickelToken("import" if kind == "word" and text == "import" else kind, text, match.start())
    for left in stack:
        yield NickelToken("unclosed", left.opening if isinstance(left, _Text) else left.text, left.offset)


def _close(token: NickelToken, stack: list[_Text | NickelToken]) -> Iterator[NickelToken]:
    """Close the innermost bracket, which may lead back into a string."""
    opening = _PAIRS[token.text]
    if stack and isinstance(top := stack[-1], NickelToken) and top.text == opening:
        stack.pop()
    else:
        yield NickelToken("unsure", token.text, token.offset)
        yield from _force(opening, stack)
    yield token


def _force(opening: str, stack: list[_Text | NickelToken]) -> Iterator[NickelToken]:
    """Leave brackets of other kinds unclosed, as Nickel does: it counts braces alone, up to the string around them."""
    inner: list[NickelToken] = []
    for depth in range(len(stack) - 1, -1, -1):
        if not isinstance(top := stack[depth], NickelToken):
            break
        if opening == top.text == "{":
            del stack[depth:]
            yield from inner
            break
        inner.append(NickelToken("unclosed", top.text, top.offset))


def _in_quotes(source: str, at: int, top: _Text, stack: list[_Text | NickelToken]) -> Generator[NickelToken, None, int]:
    """Go on inside a "text"; the generator's value is the offset behind what was read."""
    match = _IN_QUOTES.search(source, at)
    if match is None:
        return len(source)
    if match.group() == "%{":
        top.plain = False
        stack.append(NickelToken("open", "{", match.end() - 1))
    elif match.group() == '"':
        yield from _end_text(source, match.start(), top, stack)
    elif match.group() == "\\\n":
        yield NickelToken("unsure", "\\", match.start())
    return match.end()


def _in_multi(source: str, at: int, top: _Text, stack: list[_Text | NickelToken]) -> Generator[NickelToken, None, int]:
    """The same inside m%"text"%. `"%{` is a quote and an interpolation, no end; more marks than needed are both."""
    match = _IN_MULTI.search(source, at)
    if match is None:
        return len(source)
    marks = len(match["marks"])
    if match["brace"]:
        if marks >= top.marks:
            top.plain = False
            stack.append(NickelToken("open", "{", match.end() - 1))
    elif match["quote"] and marks >= top.marks:
        if marks > top.marks:
            yield NickelToken("unsure", match.group(), match.start())
        yield from _end_text(source, match.start(), top, stack)
    return match.end()


def _end_text(source: str, end: int, top: _Text, stack: list[_Text | NickelToken]) -> Iterator[NickelToken]:
    stack.pop()
    yield NickelToken("text" if top.plain else "template", source[top.start : end], top.offset)


class Import(Struct, frozen=True):
    """An import as written. `target` is None when it is not a plain text; `form` is what follows `as`.

    `place` is that of the target, or of the word import without one.
    """

    target: str | None
    form: str
    place: Position


def imports(source: str) -> list[Import]:
    """Every import of a Nickel text, in order."""
    if "import" not in source:
        return []
    found = []
    stream = [token for token in tokens(source) if token.kind not in ("close", "unsure")]
    places = Places(source)
    for number, token in enumerate(stream):
        if token.kind != "import":
            continue
        target, word, tag = (stream[number + 1 : number + 4] + [token] * 3)[:3]
        plain = target.kind == "text" and "\\" not in target.text
        form = tag.text[1:] if word.text == "as" and tag.kind == "tag" else ""
        place = places.of(target.offset if plain else token.offset)
        found.append(Import(target.text if plain else None, form, place))
    return found


def possible_imports(source: str) -> list[Position]:
    """Positions of the word import outside of strings and comments, or anywhere after a syntax error."""
    if "import" not in source:
        return []
    places, certain, found = Places(source), len(source), set()
    for token in tokens(source):
        if token.kind == "unsure" or (token.kind == "unclosed" and '"' in token.text):
            certain = min(certain, token.offset)
        elif token.kind == "import":
            found.add(token.offset)
    found |= {match.start() for match in re.compile("import").finditer(source, certain)}
    return [places.of(offset) for offset in sorted(found)]


def unclosed(source: str) -> tuple[str, Position] | None:
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
    offset: int = 0  # of the name


def path_at(source: str, place: Position) -> tuple[str | int, ...]:
    """The path that brackets and field names give to a place; only a guess where the text computes something."""
    end = Places(source).offset(place)
    levels: list[_Level] = []
    for token in tokens(source):
        if token.offset > end:
            break
        _step(levels, token)
    return _path(levels)


def definitions(source: str, path: tuple[str | int, ...]) -> list[Position]:
    """Where the field names stand that define this path; only a guess where the text computes something."""
    levels: list[_Level] = []
    places, found = Places(source), []
    for token in tokens(source):
        was_named = bool(levels) and levels[-1].is_named
        _step(levels, token)
        if levels and levels[-1].is_named and not was_named and _path(levels) == path:
            found.append(places.of(levels[-1].offset))
    return found


def _step(levels: list[_Level], token: NickelToken) -> None:
    level = levels[-1] if levels else None
    if token.kind == "open":
        levels.append(_Level(token.text == "["))
    elif token.kind == "close" and levels:
        levels.pop()
    elif level is None:
        return
    elif token.text == "," and token.kind == "other":
        level.number, level.names, level.is_named = level.number + 1, [], False
    elif not level.is_array and token.kind in ("word", "text", "import") and not level.is_named:
        level.offset = level.offset if level.names else token.offset
        level.names.append(token.text)
    elif token.text in ("=", "|", ":") and token.kind == "other":
        level.is_named = True


def _path(levels: list[_Level]) -> tuple[str | int, ...]:
    steps: list[str | int] = []
    for level in levels:
        steps += [level.number] if level.is_array else level.names if level.is_named else []
    return tuple(steps)


class Places:
    """Converts offsets in a text to lines and columns, and back."""

    def __init__(self, source: str) -> None:
        self._starts = [0, *(match.end() for match in re.finditer("\n", source))]

    def of(self, offset: int) -> Position:
        """The place of a character."""
        line = bisect_right(self._starts, offset)
        return Position(line, offset - self._starts[line - 1] + 1)

    def offset(self, place: Position) -> int:
        """The character at a place."""
        return self._starts[place.line - 1] + place.column - 1
