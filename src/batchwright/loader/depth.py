"""How deeply a text is nested, checked before any recursive parser gets it."""

from __future__ import annotations

import re

from batchwright.loader.nickel_scanner import Places, Position

_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def too_deep(text: str, depth: int) -> Position | None:
    """The bracket of a JSON text, or of flow style in YAML, that is inside more than `depth` others."""
    if text.count("[") + text.count("{") <= depth:
        return None
    level = 0
    for found in _BRACKETS.finditer(text):
        first = text[found.start()]
        if first in "[{":
            level += 1
            if level > depth:
                return Places(text).of(found.start())
        elif first != '"':
            level -= 1
    return None
