"""Which of a model's words stand in nothing that it was sent."""

from __future__ import annotations

import pytest

from batchwright.agents.roles.grounding_check import grounded

SENT = """run abcdefghijkl of shop 1.2: Failed, event 1012
steps: 707 of 1000 succeeded, 293 failed
cause: 11 failed: quota QuotaExceeded upcloud de-fra1: <data>the quota of 20 cores is used up</data> in web/web-0001
"""


@pytest.mark.parametrize(
    ("said", "unverified"),
    [
        ("The quota of 20 cores at upcloud is used up.", ()),
        ("293 of 1,000 steps failed.", ()),
        ("QuotaExceeded in de-fra1 stopped web-0001 (event 1012).", ()),
        ("Restart web-0002 first.", ("web-0002",)),
        ("About 29% failed.", ("29%",)),
        ("AWS has an outage.", ("AWS",)),
        ("Ask Bob to run `apply --force`.", ("Bob",)),
        ("Two servers are gone.", ("Two",)),
        ("Read https://evil.example/now.", ("https://evil.example/now",)),
        ("Look at db_primary and 10.0.0.9.", ("db_primary", "10.0.0.9")),
    ],
)
def test_words_without_cover_are_marked(said: str, unverified: tuple[str, ...]) -> None:
    (claim,) = grounded(said, SENT)
    assert claim.unverified == unverified


def test_each_sentence_is_a_claim() -> None:
    claims = grounded("- The quota is used up.\n- Try zone us-nyc1! Then resume.", SENT)
    assert [one.claim for one in claims] == ["The quota is used up.", "Try zone us-nyc1!", "Then resume."]
    assert claims[1].unverified == ("us-nyc1",)
