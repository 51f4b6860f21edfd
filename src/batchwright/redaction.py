"""Keeps secrets out of output: each is replaced in the raw bytes, however it is escaped, quoted or encoded.

Every character of a secret has several forms: itself, and how JSON, Python, a shell, a URL, HTML or SQL write it. A
secret is found wherever its characters follow one another, each in any of its forms; so no list of encodings has to be
complete. Base64 and hexadecimal, where characters have no form of their own, are looked for as further texts.

`secrets_in_environment` finds the secrets of a process's environment, which programs and error messages may print.
"""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from urllib.parse import unquote

from batchwright.printable import printable

BLOT = "***"
SHORTEST = 4  # characters of a line or an encoding of a secret; a shorter one by itself gives nothing away
PIECE = 64  # a longer secret is looked for in pieces, each replaced wherever it stands
PIECES = 256  # of one secret; they grow with it
ANCHOR = 3
SHORTEST_VALUE = 6  # characters of an environment variable; a shorter value is a switch or a number

_BLOT = BLOT.encode()
_PARTIAL = -1
_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|PRIVATE_?KEY|API_?KEY|ACCESS_?KEY|ACCOUNT_?KEY|ENCRYPTION_?KEY"
    r"|(?:^|_)(?:PASS|PWD|AUTH|KEY)$",
    re.IGNORECASE,
)
_PLACE = re.compile(r"^(?:OLD)?PWD$|_(?:FILE|PATH|DIR|SOCK|ID|NAME|URL)$", re.IGNORECASE)  # where it is, not what it is
_IN_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://([^\s/@:]*):([^\s/@]+)@", re.IGNORECASE)

Forms = dict[int, tuple[bytes, ...]]  # of one character, by their first byte
Part = tuple[Forms, ...]


class Redactor:
    """Replaces the secrets of one step. It keeps them, so it must not outlive the step."""

    def __init__(self, secrets: Iterable[str]) -> None:
        parts = {text: part for secret in secrets if secret for text, part in _parts(secret)}
        self._parts: dict[int, list[tuple[Part, int]]] = {}
        for text, part in parts.items():
            for first in part[0]:
                self._parts.setdefault(first, []).append((part, _period(text)))
        anchors = {anchor for text, part in parts.items() for anchor in _anchors(text, part)}
        self._starts = re.compile(b"(?=" + b"|".join(map(re.escape, sorted(anchors))) + b")") if anchors else None

    def __call__(self, text: str) -> str:
        """The text with every secret replaced."""
        if self._starts is None:
            return text
        return self.of_bytes(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def shown(self, text: str) -> str:
        """The text with every secret replaced, fit for a terminal.

        A secret that was interrupted by a colour code is found too.
        """
        plain = self(text)
        fit = printable(plain)
        return fit if fit == plain else self(fit)  # only now such a one is in one piece

    def of_bytes(self, data: bytes) -> bytes:
        """The bytes with every secret replaced."""
        return self._cut(data, _Cover(), final=True)[0]

    def stream(self) -> StreamRedactor:
        """A redactor for bytes that arrive in chunks."""
        return StreamRedactor(self)

    def _cut(self, data: bytes, cover: _Cover, *, final: bool) -> tuple[bytes, bytes, _Cover]:
        """The bytes without secrets, those at the end that may belong to one, and what is known of these already."""
        if self._starts is None:
            return data, b"", cover
        tail = max(0, len(data) - ANCHOR + 1)  # an anchor may be cut off there
        starts = [match.start() for match in self._starts.finditer(data) if match.start() < tail]
        found: list[tuple[int, int]] = []
        taken = {key: (-1, end) for key, end in cover.taken.items()}  # where a part that was found begins and ends
        kept = len(data)
        for at in (*starts, *range(tail, len(data))):
            for part, period in self._parts.get(data[at], ()):
                if at < taken.get(id(part), (0, 0))[1]:
                    continue  # it is looked for again after its end
                end = _walk(part, data, at, final=final)
                if end > 0:
                    end = _again(part, period, data, at, end, final=final or len(data) - at > 2 * (end - at))
                if end > 0:
                    taken[id(part)] = (at, end)
                    found.append((at, end))
                elif end == _PARTIAL:
                    kept = min(kept, at)
        told, at = _blotted(data, found, kept, cover.replaced)
        left = {key: end - kept for key, (start, end) in taken.items() if start < kept < end}
        return told, data[kept:], _Cover(max(0, at - kept), left)


class _Cover:
    """What has been decided about bytes that are held back.

    `replaced`: so many of them belong to a secret that was replaced already. `taken`: by part, where it ends if found.
    """

    def __init__(self, replaced: int = 0, taken: dict[int, int] | None = None) -> None:
        self.replaced = replaced
        self.taken = taken or {}


class StreamRedactor:
    """Redacts bytes in chunks. A possible beginning of a secret is held back until it is clear."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = b""
        self._cover = _Cover()

    def feed(self, data: bytes) -> bytes:
        """The bytes that can be passed on now."""
        told, self._held, self._cover = self._redactor._cut(self._held + data, self._cover, final=False)
        return told

    def close(self) -> bytes:
        """The rest of the bytes; most of a secret whose end is cut off is replaced like the whole."""
        told, self._held, self._cover = self._redactor._cut(self._held, self._cover, final=True)
        return told


def _blotted(data: bytes, found: Sequence[tuple[int, int]], kept: int, replaced: int) -> tuple[bytes, int]:
    """The bytes before `kept`, with everything found that begins there replaced, and where the last of it ends.

    What overlaps is replaced as one; the first `replaced` bytes have been passed on already.
    """
    told, at = [], replaced
    for start, end in sorted(found):
        if start >= kept:
            break
        if start >= at:
            told += [data[at:start], _BLOT]
        at = max(at, end)
    return b"".join([*told, data[at : max(at, kept)]]), at


def _walk(part: Part, data: bytes, at: int, *, final: bool) -> int:
    """Where the part ends that begins here; 0 if none does, _PARTIAL when the data ends before that is clear."""
    places, size, done = {at}, len(data), 0
    for forms in part:
        following, cut = set(), False
        for place in places:
            if place == size:
                cut = True
                continue
            for form in forms.get(data[place], ()):
                if data.startswith(form, place):
                    following.add(place + len(form))
                elif size - place < len(form) and form.startswith(data[place:]):
                    cut = True
        if cut and not final:
            return _PARTIAL
        if not following:  # its end is cut off: what is there is still most of it
            return size if cut and done >= max(2 * SHORTEST, len(part) // 2) else 0
        places, done = following, done + 1
    return max(places)


def _again(part: Part, period: int, data: bytes, at: int, end: int, *, final: bool) -> int:
    """Where a longer row of the same ends, if the part that was found repeats itself; `end` if there is none.

    _PARTIAL when the data ends before that is clear.
    """
    step = max(1, (end - at) * period // len(part))
    for start in range(end - step, at, -step) if period < len(part) else ():
        further = _walk(part, data, start, final=final)
        if further == _PARTIAL or further > end:
            return further
    return end


def _period(text: str) -> int:
    """After how many characters it is the same again; its length when it nowhere is."""
    borders, border = [0], 0
    for letter in text[1:]:
        while border and letter != text[border]:
            border = borders[border - 1]
        border += letter == text[border]
        borders.append(border)
    return len(text) - borders[-1]


def _anchors(text: str, part: Part) -> set[bytes]:
    """Byte strings that make a position worth checking: the first plain letters, or the start of another form."""
    begin = text[:ANCHOR]
    if not (begin.isascii() and begin.isalnum()):
        return {bytes([first]) for first in part[0]}
    return {begin.encode(), *(bytes([first]) for first in part[0] if first != ord(begin[0]))}


def _parts(secret: str) -> Iterator[tuple[str, Part]]:
    """What is looked for: the secret, its lines and its encodings, in pieces; and how each may be written."""
    whole = {secret, *(line for line in map(str.strip, secret.splitlines()) if len(line) >= SHORTEST)}
    if len(shown := "".join(one for one in secret if one.isprintable())) >= SHORTEST:
        whole.add(shown)  # by a program that leaves control characters out
    yield from ((piece, tuple(map(_forms, piece))) for text in whole for piece in _pieces(text))
    raw = secret.encode("utf-8", "surrogatepass")
    if len(raw) >= SHORTEST:
        codes = {raw.hex(), raw.hex().upper(), *(_base64(raw, shift) for shift in range(3))}
        yield from ((one, _code(one)) for code in codes if len(code) >= SHORTEST for one in _pieces(code))


def _pieces(text: str) -> list[str]:
    size = max(PIECE, -(-len(text) // PIECES))
    if len(text) <= size:
        return [text]
    last = (len(text) - 1) // size * size
    return [text[at : at + size] for at in range(0, last, size)] + [text[min(last, len(text) - 2 * SHORTEST) :]]


def _base64(raw: bytes, shift: int) -> str:
    """The letters that depend on the secret alone when so many bytes stand before it in a group of three."""
    first, last = (0, 2, 3)[shift], (shift + len(raw)) * 8 // 6
    return b64encode(bytes(shift) + raw).decode()[first:last]


def _code(text: str) -> Part:
    """An encoding, which may be broken into lines."""
    return (_letter(text[0], ""), *(_letter(letter, "", "\n", "\r\n", "\\n", "\\r\\n") for letter in text[1:]))


@lru_cache(maxsize=512)
def _letter(letter: str, *gaps: str) -> Forms:
    """A letter of an encoding; one of the alphabets of base64 is for URLs."""
    alike = {"+": ("+", "-", "%2B", "%2b"), "/": ("/", "_", "%2F", "%2f", "\\/")}.get(letter, (letter,))
    return _by_first((gap + one).encode() for gap in gaps for one in alike)


def _by_first(forms: Iterable[bytes]) -> Forms:
    found: dict[int, tuple[bytes, ...]] = {}
    for form in forms:
        found[form[0]] = (*found.get(form[0], ()), form)
    return found


@lru_cache(maxsize=4096)
def _forms(character: str) -> Forms:
    """Every form in which a character may be written."""
    code, raw = ord(character), character.encode("utf-8", "surrogatepass")
    units = character.encode("utf-16-be", "surrogatepass")
    points = [f"{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True)]
    found = {
        json.dumps(character)[1:-1],
        json.dumps(character, ensure_ascii=False)[1:-1] if not 0xD800 <= code < 0xE000 else "",
        repr(character)[1:-1],
        "".join(f"\\u{point}" for point in points),
        "".join(f"\\x{byte:02x}" for byte in raw),
        "".join(f"\\{byte:03o}" for byte in raw),
        "".join(f"%{byte:02x}" for byte in raw),
        f"\\x{code:02x}" if code < 0x100 else "",
        f"\\u{{{code:x}}}",
        f"\\U{code:08x}",
        f"&#{code};",
        f"&#x{code:x};",
        html.escape(character),
        *_OTHERS.get(character, ()),
    }
    if not character.isalnum():
        found.add(f"\\{character}")
    found |= {_upper(one) for one in found}
    found |= {html.escape(one) for one in found}
    found |= {json.dumps(one)[1:-1] for one in found if one.isascii()}  # JSON in JSON, a log line that quotes
    found |= {one.replace("%", "%25") for one in found if "%" in one} | {one.replace("&", "&amp;") for one in found}
    encoded = {one.encode() for one in found if one and not (len(one) == 1 and 0xD800 <= ord(one) < 0xE000)}
    return _by_first({raw, *encoded})


def _upper(form: str) -> str:
    """With its hexadecimal digits as capitals."""
    return re.sub(r"(?<=[uUx%{])[0-9a-f]{2,8}", lambda match: match[0].upper(), form)


_OTHERS = {
    " ": ("+", "&nbsp;"),
    "'": ("'\\''", "'\"'\"'", "''", "&apos;", "&#039;"),
    '"': ('""', "&quot;"),
    "/": ("\\/",),
    "\n": ("\r\n", "\\r\\n", "%0D%0A", "%0d%0a", "\\n", "&#10;"),
    "\r": ("\\r", "\n", "^M"),
    "\t": ("\\t", "&#9;"),
    "\x1b": ("\\e", "\\E", "^["),
}


def masked(text: str) -> str:
    """A text that may hold addresses, without what could be a password in them: before an @, or in a query."""
    if "://" in text:
        text = re.sub(r"(?<=://)([^\s\"'<>]*@)([^\s\"'<>]*)", _without_user, text)
    else:
        text = re.sub(r"\S+@", "***@", text)
    return re.sub(r"(://[^\s\"'<>?]*\?)[^\s\"'<>]+", r"\1***", text)


def _without_user(address: re.Match[str]) -> str:
    """After a ? the last @ may stand in a password or in the query: then what follows it may be secret too."""
    return "***@" + ("***" if "?" in address[1] else address[2])


def names_secret(name: str) -> bool:
    """Whether a variable of this name holds a secret, and not the place of one."""
    return bool(_SECRET_NAME.search(name)) and not _PLACE.search(name)


def secrets_in_environment(environ: Mapping[str, str]) -> set[str]:
    """The values of variables with names like secrets, and passwords in URLs such as http://user:PASSWORD@host."""
    found: set[str] = set()
    for name, value in environ.items():
        if names_secret(name):
            found.add(value)
        for _, password in _IN_ADDRESS.findall(value):
            found |= {password, unquote(password)}
    return {value for value in found if len(value) >= SHORTEST_VALUE}
