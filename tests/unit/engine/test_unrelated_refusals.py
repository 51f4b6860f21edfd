"""A 429 that has nothing to do with our pace slows only by what it asks for; a real limit is still found."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.engine.bucket import PAUSE_FIRST, Bucket
from tests.support.examples import share


class Account:
    """Lets `limit` calls a second through (0: any number), and refuses a share of all at random."""

    def __init__(self, limit: float, share: float, seed: int) -> None:
        self.limit, self.share = limit, share
        self.chance = random.Random(seed)
        self.tokens, self.at = 5.0, 0.0

    def takes(self, now: float) -> bool:
        self.tokens, self.at = min(5.0, self.tokens + (now - self.at) * self.limit), now
        if self.chance.random() < self.share:
            return False
        if self.limit and self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True


def driven(
    bucket: Bucket, account: Account, seconds: float, retry_after: float | None, now: float = 100.0
) -> tuple[int, int]:
    """Send as many calls as the bucket lets begin, each 0.2 s long; gives how many were taken and refused."""
    until, taken, refused = now + seconds, 0, 0
    flying: list[float] = []
    while now < until:
        for end in [end for end in flying if end <= now]:
            flying.remove(end)
            bucket.release()
            if account.takes(now):
                bucket.answered(now)
                taken += 1
            else:
                bucket.throttled(now, retry_after)
                refused += 1
        for _ in range(max(0, bucket.available(now))):
            bucket.take()
            flying.append(now + 0.2)
        now += 0.05
    return taken, refused


@settings(max_examples=share(25), deadline=None)
@given(st.sampled_from([0.0, 2.0, 5.0, 10.0]), st.integers(0, 10_000), st.sampled_from([None, 1.0]))
def test_two_in_a_hundred_unrelated_refusals_hardly_slow(rate: float, seed: int, retry_after: float | None) -> None:
    """E8: 2 % of all calls, for ten minutes; each refusal costs its pause and no more."""
    bucket = Bucket(4, rate, 5)
    taken, refused = driven(bucket, Account(0.0, 0.02, seed), 600.0, retry_after)
    free, _ = driven(Bucket(4, rate, 5), Account(0.0, 0.0, seed), 600.0, None)
    pauses = refused * ((retry_after or PAUSE_FIRST) + 0.3) / 600.0
    least = 0.55 if 0.0 < rate <= 5.0 else 0.15  # chance clusters more often among many calls
    assert taken / free > least * (1.0 - pauses), (taken, free, refused, bucket.rate)


def test_a_lone_refusal_teaches_nothing() -> None:
    """E8: with a stated rate and without one."""
    for bucket in (Bucket(10, 5.0, 5), Bucket(10)):
        now = 100.0
        for _ in range(100):
            bucket.answered(now)
            now += 0.2
        rate, window = bucket.rate, bucket.window
        bucket.throttled(now, 3.0)
        assert (bucket.rate, bucket.window, bucket.top(now)) == (rate, window, bucket.base_rate)
        assert bucket.blocked_until == now + 3.0


@pytest.mark.parametrize("stated", [0.0, 5.0, 10.0, 40.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_real_limit_is_found_all_the_same(stated: float, seed: int) -> None:
    """E8: most of it is used, and few calls are refused, once it is known."""
    bucket, account = Bucket(16, stated, 5), Account(5.0, 0.0, seed)
    driven(bucket, account, 60.0, None)
    bucket.in_flight = 0  # what was in flight at the end of that minute
    taken, refused = driven(bucket, account, 600.0, None, 160.0)
    assert refused / (taken + refused) < 0.02
    assert taken / 600.0 > 0.85 * 5.0
