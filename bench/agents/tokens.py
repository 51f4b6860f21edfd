"""Counts tokens as the providers' public tokenizer does, without a network."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from bpe_openai import Encoding

VOCABULARY = "o200k_base"
PIECE = 50_000  # characters: the library takes no longer texts than a million at a time


@cache
def encoding(vocabulary: str = VOCABULARY) -> Encoding:
    """A tokenizer. Its package reads all vocabularies when it is imported, for half a second of CPU."""
    from bpe_openai import get_encoding

    return get_encoding(vocabulary)


_counted: dict[bytes, int] = {}  # by the digest of the text: each is counted once


def tokens(text: str) -> int:
    """How many tokens a text has; a long one is counted in pieces that end with a line or a comma."""
    digest = sha256(text.encode()).digest()
    if digest not in _counted:
        _counted[digest] = _count(text)
    return _counted[digest]


def _count(text: str) -> int:
    total, begin = 0, 0
    while begin < len(text):
        end = len(text) if len(text) - begin <= PIECE else begin + PIECE
        if end < len(text):
            cut = max(text.rfind("\n", begin, end), text.rfind(",", begin, end))
            end = cut + 1 if cut > begin else end
        total += len(encoding().encode(text[begin:end], disallowed_special=()))
        begin = end
    return total


def compact(value: Any) -> str:
    """The value as compact JSON."""
    return msgspec.json.encode(value).decode()
