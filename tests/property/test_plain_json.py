"""Plain JSON is read without Nickel only where Nickel would say the same: compared on random workflows."""

from __future__ import annotations

from importlib import import_module
from random import Random

import msgspec
import pytest

from batchwright.loader import LOCAL, Loaded, load_source, plain_json
from tests.support.fuzz import seed_of
from tests.support.plain_workflows import PlainWorkflows

PLUG_INS = {"rack": None}  # providers whose servers have the usual fields


class _NotPlain(Exception):
    """Nickel is asked."""


def taken(text: str, patch: pytest.MonkeyPatch) -> Loaded | None:
    """What is read without Nickel, None where that is not certain."""

    def ask(*_arguments: object, **_options: object) -> None:
        raise _NotPlain

    with patch.context() as patched:
        patched.setattr(import_module("batchwright.loader.load"), "Evaluator", ask)
        try:
            return load_source(text, "flow.json", limits=LOCAL, providers=PLUG_INS)
        except _NotPlain:
            return None


def evaluated(text: str, patch: pytest.MonkeyPatch) -> Loaded:
    """What Nickel says."""
    with patch.context() as patched:
        patched.setattr(plain_json, "certain", lambda *_: None)
        return load_source(text, "flow.json", limits=LOCAL, providers=PLUG_INS)


def explored(seed: int, count: int, patch: pytest.MonkeyPatch) -> int:
    """How many of so many workflows are taken; fails on the first that Nickel sees otherwise."""
    workflows, number = PlainWorkflows(Random(seed)), 0
    for _ in range(count):
        text = workflows.text()
        plain = taken(text, patch)
        if plain is None or plain.workflow is None:
            continue
        number += 1
        nickel = evaluated(text, patch)
        assert not nickel.diagnostics, (seed, text, nickel.diagnostics)
        assert plain.workflow == nickel.workflow, (seed, text)
        assert msgspec.json.encode(plain) == msgspec.json.encode(nickel), (seed, text)
    return number


def test_a_sample_is_judged_as_by_nickel(monkeypatch: pytest.MonkeyPatch) -> None:
    assert explored(4, 150, monkeypatch) > 30


@pytest.mark.long
def test_many_are_judged_as_by_nickel(monkeypatch: pytest.MonkeyPatch) -> None:
    number = explored(seed_of(), 20_000, monkeypatch)
    print(f"20,000 workflows, {number} of them read without Nickel, none of them otherwise than by it")
    assert number > 4_000
