"""What a slice is: ranked facts in text, where each one comes from, and what was left out."""

from __future__ import annotations

from msgspec import Struct


class Evidence(Struct, frozen=True, omit_defaults=True):
    """Where a fact comes from: an event's number (0: none), a step (""), and a line of that event's output (0: none).

    Of a file, `line` is a line of it.
    """

    seq: int = 0
    step: str = ""
    line: int = 0


class Fact(Struct, frozen=True, omit_defaults=True):
    """One line of a slice.

    `kind` is the section it belongs to ("cause", "waits"). `text` is the line itself; what others wrote stands fenced
    in it (`untrusted_text.py`). `count` is how many steps, servers or the like it speaks of.
    """

    kind: str
    text: str
    evidence: tuple[Evidence, ...] = ()
    count: int = 1


class Omitted(Struct, frozen=True):
    """What a slice left out: `count` of `what`, and `how` to ask for them: a kind of slice and its query."""

    what: str
    count: int
    how: str


class Slice(Struct, frozen=True):
    """The answer to one question about a run as it was after event `as_of_seq` (0: the question is not about a run).

    `text` holds every fact and every omission, one per line; it has `tokens` tokens by our estimate, which is at most
    `budget`. `digest` identifies the text.
    """

    kind: str
    run: str
    text: str
    facts: tuple[Fact, ...]
    omitted: tuple[Omitted, ...]
    tokens: int
    budget: int
    as_of_seq: int
    digest: str
