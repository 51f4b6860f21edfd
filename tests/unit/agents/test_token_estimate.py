"""The estimate of tokens against a real tokenizer, which works without the network."""

from __future__ import annotations

import random

import pytest
from bench.agents.tokens import encoding
from tests.unit.agents.stories import sliced, stress

from batchwright.agents.slices.token_estimate import estimated_tokens

VOCABULARIES = "o200k_base", "cl100k_base"


def real(text: str) -> int:
    return max(len(encoding(one).encode(text, disallowed_special=())) for one in VOCABULARIES)


@pytest.mark.parametrize("query", ["status", "diagnose", "find state=failed", "find events", "show web-0001"])
def test_an_estimate_is_a_little_above_what_a_real_tokenizer_counts(query: str) -> None:
    kind, _, rest = query.partition(" ")
    found = sliced(stress(), 20, kind, rest)
    assert 1.0 <= found.tokens / real(found.text) < 1.25


def test_ids_cost_what_they_cost() -> None:
    draw = random.Random(7)
    ids = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz234567", k=12)) for _ in range(200)]
    text = "\n".join(f"run {one} failed: server i-{draw.randrange(16**17):x}" for one in ids)
    assert 1.0 <= estimated_tokens(text) / real(text) < 1.3


def test_no_character_is_free() -> None:
    for text in ("", "é" * 50, "日本" * 20, "\u202e" * 9, "🎉🎉", "&lt;" * 30):
        assert estimated_tokens(text) >= real(text)
