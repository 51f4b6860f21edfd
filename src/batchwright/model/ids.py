"""Names that are computed, never guessed: the token of a step is the same in every process that drives the run."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from msgspec import Struct

RUN_ID_LENGTH = 12

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [low + high for high in _ALPHABET for low in _ALPHABET]  # what ten bits stand for


class Token(Struct, frozen=True, gc=False):
    """Identifies one create call: the run, and a value that is unique to the step. The server's labels carry both.

    `environment` is the name of the run's environment, "" if it has none.

    >>> Token("abcdefabcdef", step_token("abcdefabcdef", "web/web-01", 1)).value
    '5yqhzg2txeutf5a3kp7xw224ed'
    """

    run: str
    value: str
    environment: str = ""


def run_id(entropy: bytes) -> str:
    """A run id of 12 characters from at least 8 random bytes; random, so that short prefixes tell runs apart."""
    return base32(entropy)[:RUN_ID_LENGTH]


def keyed_run_id(by: str, key: str) -> str:
    """The id of the run that this caller submits with this key: every process computes the same one."""
    return base32(hashlib.sha256(f"{by}\n{key}".encode()).digest()[:8])[:RUN_ID_LENGTH]


def base32(data: bytes) -> str:
    """Lower-case base32 without padding: safe in names, labels and idempotency tokens."""
    number, bits = int.from_bytes(data, "big"), len(data) * 8
    pairs = [_PAIRS[number >> shift & 1023] for shift in range(0, bits, 10)]
    return "".join(pairs)[: -(-bits // 5)]


@lru_cache(maxsize=20_000)
def step_token(run: str, step: str, generation: int) -> str:
    """The token of a step's create call; `generation` grows each time an unusable server has to be replaced.

    26 characters: fits EC2's ClientToken (64) and UpCloud's label values (255).
    """
    return base32(hashlib.sha256(f"{run}/{step}/{generation}".encode()).digest()[:16])


def fraction(seed: str) -> float:
    """A number in [0, 1) that depends only on the seed: jitter for pure code."""
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:6], "big") / 2**48
