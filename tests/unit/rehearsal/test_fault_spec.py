"""How an experiment is written."""

from __future__ import annotations

import pytest

from batchwright.errors import UsageError
from batchwright.rehearsal.fault_spec import Experiment, Injection

KNOWN = frozenset({"before", "after", "capacity"})


@pytest.mark.parametrize(
    "text",
    [
        "servers/web-03 create:after",
        "upcloud find#3:before",
        "(retire servers)/web-2 destroy:after",
        "rollback: servers/web-03 destroy@2:after",
        "servers/a record StepStarted+StepCreated#2@3:before + servers/b create:capacity",
    ],
)
def test_an_experiment_is_read_as_it_is_written(text: str) -> None:
    assert str(Experiment.parse(text, KNOWN)) == text


def test_the_parts_of_a_point() -> None:
    (read,) = Experiment.parse("servers/web-03 create#2@3:capacity", KNOWN).injections
    assert read == Injection("servers/web-03", "create", "capacity", 2, 3)


@pytest.mark.parametrize(("text", "said"), [("web-01", "expected SUBJECT VERB:FAULT"), ("a create:x", "no fault x")])
def test_what_is_no_point_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Experiment.parse(text, KNOWN)
