"""Which values the variables of task services take, and what they make of values that a run gives."""

from __future__ import annotations

import pytest

from batchwright.model.scalar import PlainValue, Scalar
from batchwright.model.secret_reference import SecretReference
from batchwright.model.taskserv_variable import Variable, VariableType


@pytest.mark.parametrize(
    ("variable", "right", "wrong"),
    [
        (Variable(VariableType.LIST, ""), [(), ("a", "b")], ["a", (1,), (True,), (("a",),), ("a\n",)]),
        (Variable(VariableType.LIST, "", of=VariableType.PORT), [(1, 2)], [(0,), ("1",), (True,), 1]),
        (Variable(VariableType.LIST, "", of=VariableType.ADDRESS), [("10.0.0.1", "${server.address}")], [("db",)]),
        (Variable(VariableType.LIST, "", of=VariableType.ENUM, values=("a",)), [("a", "a")], [("b",)]),
        (Variable(VariableType.LIST, "", pattern="x+", means="an x"), [("x", "xx")], [("x", "y"), ("",)]),
    ],
)
def test_a_list_holds_valid_elements_only(variable: Variable, right: list[PlainValue], wrong: list[PlainValue]) -> None:
    assert [value for value in right if variable.wanted(value) is not None] == []
    assert [value for value in wrong if variable.wanted(value) is None] == []
    assert variable.described().startswith("a list, each element ")
    assert variable.wanted(SecretReference(env="X")) is not None


def test_a_list_is_normalised_element_by_element() -> None:
    assert Variable(VariableType.LIST, "", of=VariableType.DURATION).settled(("1m", 2)) == (60.0, 2.0)
    assert Variable(VariableType.LIST, "").settled(("1m",)) == ("1m",)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (VariableType.PORT, "8080", 8080),
        (VariableType.PORT, "http", None),
        (VariableType.PORT, "0", None),
        (VariableType.INTEGER, "-3", -3),
        (VariableType.INTEGER, "1.5", None),
        (VariableType.NUMBER, "1.5", 1.5),
        (VariableType.BOOLEAN, "true", True),
        (VariableType.BOOLEAN, "yes", None),
        (VariableType.DURATION, "2m", 120.0),
        (VariableType.STRING, "8080", "8080"),
        (VariableType.URL, "http://x/", "http://x/"),
        (VariableType.ADDRESS, "x", None),
    ],
)
def test_what_a_command_gives_is_read_as_the_type_that_is_wanted(
    kind: VariableType, text: str, value: Scalar | None
) -> None:
    variable = Variable(kind, "")
    assert variable.wanted("${outputs.give.x}") is None
    read = variable.read(text)
    assert (read if variable.lacks(read) is None else None) == value
    several = Variable(VariableType.LIST, "", of=kind)
    assert several.wanted(("${outputs.give.x}",)) is None
    assert several.read((text, 7)) == (read, 7)


def test_numbers_are_given_by_commands_alone() -> None:
    port = Variable(VariableType.PORT, "")
    assert [port.wanted(one) is None for one in ("${outputs.a.b}", "1${outputs.a.b}", "${run.id}", "80")] == [
        True, False, False, False
    ]  # fmt: skip
