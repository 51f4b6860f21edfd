"""Programs of this machine that give values, and those that say that there is nothing to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.commands.test_local_programs import Bench, run, shell

from batchwright.model.call_outcome import Applied, Rejected
from batchwright.model.fault import FaultClass
from batchwright.operations.command import CommandRequest


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_it_gives_values_through_a_file_that_is_new_for_each_start(bench: Bench) -> None:
    """What an attempt before gave does not count."""
    request = shell('echo left >> "$BATCHWRIGHT_OUTPUTS"; exit 1', outputs=("url",))
    assert isinstance(run(bench, request), Rejected)
    request = shell('cat "$BATCHWRIGHT_OUTPUTS"; echo "url=a=b" >> "$BATCHWRIGHT_OUTPUTS"', outputs=("url",))
    assert run(bench, request) == Applied(outputs={"url": "a=b"})
    assert bench.said == []
    taken_away = run(bench, shell('rm "$BATCHWRIGHT_OUTPUTS"; mkfifo "$BATCHWRIGHT_OUTPUTS"', outputs=("url",)))
    assert isinstance(taken_away, Rejected)
    assert taken_away.fault.code == "output-missing"
    folder = run(bench, shell('rm "$BATCHWRIGHT_OUTPUTS"; mkdir -p "$BATCHWRIGHT_OUTPUTS/a"', outputs=("url",)))
    assert isinstance(folder, Rejected)
    assert folder.fault.code == "output-missing"
    secret = run(bench, shell('echo "url=$SECRET_OF_OURS" >> "$BATCHWRIGHT_OUTPUTS"', outputs=("url",)))
    assert isinstance(secret, Rejected)
    assert secret.fault.code == "output-secret"
    assert list(bench.folder.iterdir()) == []


def test_unless_gives_the_values_when_there_is_nothing_to_do(bench: Bench) -> None:
    def asks(unless: str, **rest: object) -> CommandRequest:
        return shell("echo ran", unless=("/bin/sh", "-c", unless), **rest)

    assert run(bench, asks("echo done >&2")) == Applied(changed=False)
    assert bench.said == ["done"]
    gives = 'echo v=1 >> "$BATCHWRIGHT_OUTPUTS"'
    assert run(bench, asks(gives, outputs=("v",))) == Applied(changed=False, outputs={"v": "1"})
    missing = run(bench, asks("true", outputs=("v",)))
    assert isinstance(missing, Rejected)
    assert (missing.fault.kind, missing.fault.code) == (FaultClass.INVALID, "output-missing")
    assert bench.said == ["done"]


def test_an_answer_and_values_go_together(bench: Bench) -> None:
    request = shell('echo v=1 >> "$BATCHWRIGHT_OUTPUTS"; exit 3', answers={"yes": 0, "no": 3}, outputs=("v",))
    assert run(bench, request) == Applied(outputs={"v": "1"}, answer="no")
