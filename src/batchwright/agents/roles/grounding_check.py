"""Whether a model's words are covered by what it was sent: every id, number and name in them must stand there."""

from __future__ import annotations

import re

from batchwright.agents.roles.base import Finding

CLAIMS_MOST, CLAIM_MOST = 40, 600  # sentences, and characters of one
_WORD = re.compile(r"[\w][\w.:/@%+-]*[\w%]|\w", re.UNICODE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_PARTS = re.compile(r"[/:=@,;()\[\]\"'`]+")
_NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
NUMBER_WORDS = {word: str(number) for number, word in enumerate(_NUMBERS, 2)}


def grounded(text: str, sent: str) -> tuple[Finding, ...]:
    """The claims of a text, one for each sentence, each with the words in it that stand nowhere in what was sent."""
    known = _known(sent)
    sentences = [one.strip(" -*#\t") for one in _SENTENCE.split(text)]
    return tuple(
        Finding(one[:CLAIM_MOST], unverified=tuple(_unverified(one, known)))
        for one in [one for one in sentences if one][:CLAIMS_MOST]
    )


def _known(sent: str) -> frozenset[str]:
    """Every word that was sent, its parts, and numbers without the commas of thousands."""
    found: set[str] = set()
    for word in _words(sent.replace("<data>", " ").replace("</data>", " ").replace("&lt;", "<").replace("&gt;", ">")):
        found.add(word.casefold())
        found.update(part.casefold() for part in _PARTS.split(word) if part)
    return frozenset(found)


def _words(text: str) -> list[str]:
    return [word.rstrip(".:") for word in _WORD.findall(re.sub(r"(?<=\d),(?=\d{3})", "", text))]


def _unverified(sentence: str, known: frozenset[str]) -> list[str]:
    words = _words(sentence)
    return list(dict.fromkeys(word for at, word in enumerate(words) if not _covered(word, known, first=at == 0)))


def _covered(word: str, known: frozenset[str], *, first: bool) -> bool:
    """Whether a word needs no cover, or has it."""
    folded = word.casefold()
    if folded in known or folded.removesuffix("%") in known or folded.removesuffix("s") in known:
        return True
    if folded in NUMBER_WORDS:
        return NUMBER_WORDS[folded] in known
    is_name = any(letter.isdigit() or letter in "_./:@%+-" for letter in word) or not word.isascii()
    is_name = is_name or (
        word != folded and not (first and word[1:] == folded[1:])
    )  # capitals, but not the first one's
    return not is_name
