"""Every call of every port travels to a place and back unchanged, whatever its values."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
import msgspec.inspect as kinds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import asdict

from batchwright.commands.base import Launch
from batchwright.model.secret_reference import SecretReference
from batchwright.places import codec
from batchwright.places.carrier import PlaceAnswer, PlaceCall
from batchwright.taskservs.base import TaskservCall
from tests.support.examples import share

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
PLAIN = st.recursive(
    st.none() | st.booleans() | INTEGERS | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
SECRETS = st.builds(SecretReference, env=st.text("ABC", min_size=1, max_size=3))
CIRCUMSTANCES = {codec.sent_form(kind): kind for kind in (TaskservCall, Launch)}
SIMPLE: dict[type, st.SearchStrategy[Any]] = {
    kinds.AnyType: PLAIN,
    kinds.NoneType: st.none(),
    kinds.BoolType: st.booleans(),
    kinds.IntType: INTEGERS,
    kinds.FloatType: st.floats(allow_nan=False),
    kinds.StrType: TEXT,
}


def values(info: kinds.Type) -> st.SearchStrategy[Any]:
    """Values of a type, as msgspec describes it."""
    match info:
        case kinds.EnumType(cls=cls):
            return st.sampled_from(list(cls))
        case kinds.UnionType(types=types):
            return st.one_of([values(one) for one in types])
        case kinds.ListType(item_type=item):
            return st.lists(values(item), max_size=2)
        case kinds.VarTupleType(item_type=item):
            return st.lists(values(item), max_size=2).map(tuple)
        case kinds.TupleType(item_types=items):
            return st.tuples(*map(values, items))
        case kinds.DictType(key_type=key, value_type=value):
            return st.dictionaries(values(key), values(value), max_size=2)
        case kinds.StructType(cls=cls):
            return structs(cls)
    return SIMPLE[type(info)]


@cache
def structs(cls: type[Struct]) -> st.SearchStrategy[Any]:
    """Values of a struct, which may hold itself."""
    if cls is SecretReference:
        return SECRETS
    described = kinds.type_info(cls)
    assert isinstance(described, kinds.StructType)
    made = CIRCUMSTANCES.get(cls, cls)
    return st.deferred(lambda: st.builds(made, **{one.name: values(one.type) for one in described.fields}))


def told(value: object) -> object:
    """A value to compare: of the circumstances of a call all but whom its output goes to."""
    if isinstance(value, TaskservCall | Launch):
        return {name: part for name, part in asdict(value).items() if name != "tell"}
    return value


@pytest.mark.parametrize(("port", "method"), codec.METHODS)
@settings(max_examples=share(30))
@given(data=st.data())
def test_a_call_and_its_answer_come_as_they_were_sent(port: str, method: str, data: st.DataObject) -> None:
    spec = codec.spec_of(port, method)
    given_to = {
        one.name: data.draw(values(kinds.type_info(one.type))) for one in msgspec.structs.fields(spec.arguments)
    }
    sent = codec.pack(PlaceCall("c", "1", port, method, "upcloud", codec.arguments(port, method, given_to)))
    call = codec.read(sent, PlaceCall)
    heard: list[str] = []
    came = codec.given_arguments(call.port, call.method, call.arguments, heard.append)
    assert {name: told(value) for name, value in came.items()} == {name: told(one) for name, one in given_to.items()}
    for value in came.values():
        if isinstance(value, TaskservCall | Launch):
            value.tell("a line")
            assert heard == ["a line"]
    kind = data.draw(st.sampled_from(sorted(spec.answers)))
    answer = data.draw(values(kinds.type_info(spec.answers[kind])))
    back = codec.read(codec.pack(PlaceAnswer(*codec.answer(port, method, answer), output=("line",))), PlaceAnswer)
    seen = codec.given_answer(port, method, back.kind, back.value)
    assert seen == answer
    assert type(seen) is type(answer)


@settings(max_examples=share(200))
@given(st.binary(max_size=200))
def test_what_is_not_a_message_is_said_to_be_none(data: bytes) -> None:
    for kind in (PlaceCall, PlaceAnswer):
        with pytest.raises(codec.Unfit):
            codec.read(data, kind)
