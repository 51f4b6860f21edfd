"""Every reference to a secret is found, wherever it stands and whatever surrounds it."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from batchwright.model.secret_reference import SecretReference
from batchwright.model.secret_traversal import mapped


class Deep(msgspec.Struct, frozen=True):
    """As a future operation might nest them."""

    inner: object = None
    free: dict[str, Any] = {}


NAMES = st.text("abcdefgh", min_size=1, max_size=8)
SECRETS = st.one_of(
    st.builds(lambda name: SecretReference(env=name), NAMES),
    st.builds(lambda name: SecretReference(file="/" + name), NAMES),
    st.builds(lambda words: SecretReference(command=tuple(words)), st.lists(NAMES, min_size=1, max_size=3)),
)
PLAIN = st.none() | st.booleans() | st.integers() | NAMES


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.lists(inner, max_size=3).map(tuple),
            st.dictionaries(NAMES, inner, max_size=3),
            inner.map(lambda value: Deep(value)),
        ),
        max_leaves=12,
    )


def count(value: Any) -> int:
    if isinstance(value, SecretReference):
        return 1
    if isinstance(value, msgspec.Struct):
        return sum(count(getattr(value, name)) for name in value.__struct_fields__)
    if isinstance(value, dict):
        return sum(map(count, value.values()))
    return sum(map(count, value)) if isinstance(value, list | tuple) else 0


@given(nested(PLAIN | SECRETS))
def test_each_is_met_once_and_can_be_changed(value: Any) -> None:
    """A1: no reference is missed, and what is not one is left as it was."""
    met: list[SecretReference] = []

    def change(_: object, secret: SecretReference) -> SecretReference:
        met.append(secret)
        return SecretReference(env="OTHER")

    changed = mapped(value, change)
    assert len(met) == count(value)
    assert mapped(value, lambda _, secret: secret) == value
    left: list[SecretReference] = []
    mapped(changed, lambda _, secret: left.append(secret) or secret)
    assert left == [SecretReference(env="OTHER")] * len(met)


@given(SECRETS, nested(PLAIN))
def test_what_no_contract_reads_is_judged_by_its_shape(secret: SecretReference, around: Any) -> None:
    """A1: an option of a provider counts as a reference when it could be taken for one."""
    met: list[SecretReference] = []
    value = Deep(None, {"plain": around, "deep": [{"one": msgspec.to_builtins(secret)}], "key": "~/.ssh/id"})
    mapped(value, lambda _, found: met.append(found) or found)
    assert [one for one in met if one in (secret, SecretReference(file="~/.ssh/id"))] == [
        secret,
        SecretReference(file="~/.ssh/id"),
    ]
