"""Estimates the tokens of a text without a vocabulary: the same number on every machine, a little above the real one.

A text is split about as the tokenizers of OpenAI's models do it (words with the space before them, up to three digits,
runs of punctuation, white space), and each piece costs by its length. Words that mix letters and digits, as run ids and
hexadecimal numbers do, cost more. `tests/unit/agents/test_token_estimate.py` compares it with a real tokenizer.
"""

from __future__ import annotations

import re

WORD = 6  # letters that one token holds; a longer word costs more
_PIECE = re.compile(
    r"[^\S\n]?(?=[a-z0-9]*(?:[a-z][0-9]|[0-9][a-z]))[a-z0-9]{6,}"
    r"|[^\S\n]?(?:[A-Z]?[a-z]+|[A-Z]+)|[0-9]{1,3}|[^\S\n]?[^\sA-Za-z0-9]+|\s+"
)
_CONSONANTS = re.compile(r"[bcdfghjklmnpqrstvwxz]{4,}", re.IGNORECASE)  # of no word that a vocabulary has


def estimated_tokens(text: str) -> int:
    """How many tokens a model's tokenizer makes of the text, about.

    >>> estimated_tokens("steps: 620 of 1000 succeeded")
    9
    """
    return sum(map(_cost, _PIECE.findall(text)))


def _cost(piece: str) -> int:
    if not piece.isascii():
        return len(piece.encode("utf-8", "surrogatepass"))
    bare = piece.strip()
    if not bare or bare.isdigit():
        return 1
    if bare.isalpha():
        return -(-len(bare) // WORD) + sum(len(run) // 3 for run in _CONSONANTS.findall(bare))
    return -(-len(bare) * 2 // 3) if bare.isalnum() else -(-len(bare) // 3)
