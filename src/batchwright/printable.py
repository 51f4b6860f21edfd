"""Makes foreign text safe for a terminal, and shortens it without losing its end."""

from __future__ import annotations

import logging
import re

REPLACEMENT = "\ufffd"

# Escape sequences are dropped whole: CSI (colours, cursor), the strings that BEL or ST ends (titles, links), and the
# short ones. Of an incomplete one the text stays and its control is replaced, so that nothing can be hidden in it.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-OQ-WYZ\\`-~]"
    r"|[\ufe0e\ufe0f]"  # whether a character is drawn as text or as a picture
)

# Categories Cc but for tab and newline, Cf (bidi controls, zero width, tags), Cs, Co, Zl, Zp; noncharacters; and what
# Unicode wants not to be seen. Each is shown as one replacement character: two texts that differ must not look alike.
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0d\ufeff\uffa0"
    "\ufff0-\ufffb\ufffe\uffff\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    + "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(1, 15))
    + "\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
)


def printable(text: str) -> str:
    """The text as a terminal may show it: lines and tabs stay, control sequences for cursor and colour are removed."""
    if text.isascii() and text.isprintable():
        return text
    return _UNFIT.sub(REPLACEMENT, _SEQUENCE.sub("", text.replace("\r\n", "\n")))


def flat(text: str) -> str:
    """The same on one line, for a text that may not begin another one."""
    return printable(text).replace("\n", " ")


def escaped_json(text: str) -> str:
    """The same JSON with everything that is not fit for a terminal as an escape; it decodes to the same values.

    JSON has such characters in its strings alone. A surrogate on its own has no other form in UTF-8.
    """
    return text if text.isascii() and text.isprintable() else _UNFIT.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


def shortened(text: str, most: int) -> str:
    """At most so many characters (at least 40): the beginning, the end, and how much is left out."""
    if len(text) <= most:
        return text
    if most < 40:
        return text[: max(0, most - 3)] + "..."
    mark = f" ... ({len(text):,} characters) ... "
    head = (most - len(mark)) // 3
    return text[:head] + mark + text[len(text) - (most - len(mark) - head) :]


class PrintableFormatter(logging.Formatter):
    """Formats log lines for a terminal: foreign text cannot move the cursor or start a line of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - of logging
        record.message = flat(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))
