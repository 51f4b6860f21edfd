"""The file in which a command gives values: what it may hold, and what happens to what it may not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.commands.output_values import BYTES_MAX, with_outputs
from batchwright.model.call_outcome import Applied, Rejected
from batchwright.model.fault import FaultClass
from batchwright.redaction import Redactor

LINES = st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"]), max_size=30)
SECRET = "hunter2-hunter2"


def given_by(data: bytes, *declared: str, said: list[str] | None = None) -> Applied | Rejected:
    return with_outputs(Applied(), "migrate", data, declared, Redactor([SECRET]), ([] if said is None else said).append)


@given(LINES, LINES)
def test_a_value_is_all_that_follows_to_the_end_of_its_line(first: str, second: str) -> None:
    data = f"A={first}\n\nB_2={second}".encode()
    assert given_by(data, "A", "B_2") == Applied(
        outputs={"A": first.removesuffix("\r"), "B_2": second.removesuffix("\r")}
    )


@given(st.binary(max_size=60))
def test_whatever_it_holds_the_outcome_is_certain(data: bytes) -> None:
    assert isinstance(given_by(data), Applied | Rejected)


@pytest.mark.parametrize(
    ("data", "outputs"),
    [(b"A=1\r\n", {"A": "1"}), (b"A=1\r\r", {"A": "1\r"}), (b"A==b= c\n", {"A": "=b= c"}), (b"A=", {"A": ""})],
)
def test_lines(data: bytes, outputs: dict[str, str]) -> None:
    assert given_by(data, "A") == Applied(outputs=outputs)


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", "output-missing", "it did not give its output A"),
        (b"A=1\nA=2", "output-invalid", "it gave the output A twice"),
        (b"A=1\nB", "output-invalid", "line 2 of its outputs has no ="),
        (b"A=\xff", "output-invalid", "its outputs are not UTF-8: byte 2"),
        (b"A=a\0", "output-invalid", "its outputs hold a NUL character"),
        (b"A=" + b"x" * BYTES_MAX, "output-invalid", "its outputs are longer than 64 KiB"),
        (f"A=x{SECRET}x".encode(), "output-secret", "its output A holds a secret"),
    ],
)
def test_what_fails_it_says_what_to_do(data: bytes, code: str, words: str) -> None:
    outcome = given_by(data, "A")
    assert isinstance(outcome, Rejected)
    fault = outcome.fault
    assert (fault.kind, fault.code) == (FaultClass.INVALID, code)
    assert fault.message == f"migrate ended well, but {words}"
    assert fault.hint
    assert SECRET not in str(fault)


def test_what_was_not_declared_is_dropped_and_told() -> None:
    said: list[str] = []
    assert given_by(f"A=1\nB=2\nC={SECRET}".encode(), "A", said=said) == Applied(outputs={"A": "1"})
    assert said == [f"the output {key} is dropped: it is not among the outputs of this command" for key in "BC"]
