"""Keeps secrets out of what is told: each is replaced, also where it is escaped, quoted or broken into lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from shlex import quote
from urllib.parse import quote as percent

STARS = "***"
SHORTEST = 4  # of a part of a secret that stands on a line of its own; shorter ones would blot out everything


class Redactor:
    """Replaces the secrets of one call."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = sorted({form for secret in secrets if secret for form in _forms(secret)}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, forms))) if forms else None

    def __call__(self, text: str) -> str:
        """The text without them."""
        return self._pattern.sub(STARS, text) if self._pattern else text


def _forms(secret: str) -> set[str]:
    """The ways in which a program may print it."""
    parts = [secret]
    if "\n" in secret:  # what is printed is told line by line
        parts += [line.strip() for line in secret.splitlines() if len(line.strip()) >= SHORTEST]
    forms: set[str] = set()
    for part in parts:
        forms |= {
            part,
            quote(part),
            repr(part)[1:-1],
            json.dumps(part)[1:-1],
            json.dumps(part, ensure_ascii=False)[1:-1],
            percent(part, safe=""),
        }
    return forms
