"""Certificates of services: a self-signed one stays while it is good, and what a workflow gives is examined."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from batchwright.taskservs.certificates import VALID, certificate_of, kept, self_signed
from batchwright.taskservs.debian import DeployImpossible

NAMES = ["shop.example.org", "10.0.0.5", "fd00::5"]


def test_a_self_signed_certificate_stays_while_it_is_good() -> None:
    now, one, other = datetime.now(UTC), self_signed(NAMES), self_signed(NAMES)
    assert kept(one.pem, NAMES, now) == one
    assert kept(one.pem.strip(), NAMES, now) == one  # as a command's output comes
    assert kept(one.pem, NAMES[:1], now) is None
    assert kept(one.pem, NAMES, now + VALID - timedelta(days=29)) is None
    assert kept(one.chain + other.key, NAMES, now) is None
    assert kept(one.chain, NAMES, now) is None
    assert kept("", NAMES, now) is None


def test_a_certificate_of_the_workflow_fits_its_key() -> None:
    one, other = self_signed(NAMES), self_signed(NAMES)

    def given(**files: str) -> SimpleNamespace:
        return SimpleNamespace(tls="files", **files)

    chain = one.chain + other.chain
    found = certificate_of(given(certificate=chain.strip(), key=one.key), NAMES, "/x")
    assert found is not None
    assert found.pem == chain + one.key
    for files, why in [
        ({}, "needs the variables"),
        ({"certificate": one.chain}, "needs the variables"),
        ({"certificate": one.chain, "key": other.key}, "does not belong"),
        ({"certificate": one.key, "key": one.key}, "must be PEM"),
        ({"certificate": one.chain, "key": "x"}, "must be PEM"),
    ]:
        with pytest.raises(DeployImpossible, match=why) as refused:
            certificate_of(given(**files), NAMES, "/x")
        assert one.key.splitlines()[1] not in str(refused.value)
    assert certificate_of(SimpleNamespace(tls="off"), NAMES, "/x") is None
