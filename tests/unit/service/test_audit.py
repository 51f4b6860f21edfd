"""The audit trail holds whole lines only, whatever the disk does."""

from __future__ import annotations

import errno
import json
import os
import tempfile
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.app.settings import Settings
from batchwright.service import audit
from batchwright.service.audit import VALUE, WORDS, Audit, AuditEntry, shown, told

DEED = AuditEntry(1.0, "ada", "operator", "POST /x")


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "audit.jsonl").read_bytes().splitlines()]


@given(st.text(max_size=60), st.integers(100, 599), st.text(max_size=60))
def test_what_came_of_it_is_written_into_its_own_line(run: str, status: int, code: str) -> None:
    """A8: whatever comes of it, the line keeps its length."""
    with tempfile.TemporaryDirectory() as name:
        trail = Audit(Settings(Path(name)))
        line = trail.begin(DEED)
        trail.write(DEED)
        size = (Path(name) / "audit.jsonl").stat().st_size
        line.end(run, status, code)
        assert (Path(name) / "audit.jsonl").stat().st_size == size
        first, second = lines(Path(name))
        assert first["status"] == status
        assert second == json.loads(json.dumps({**second, "status": 0}))


@pytest.mark.parametrize("taken", [0, 1, 40])
def test_a_full_disk_leaves_no_part_of_a_line(taken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A8: what a short write left is taken back, and the caller is told."""
    trail = Audit(Settings(tmp_path))
    trail.write(DEED)
    real, room = os.pwrite, taken

    def short(descriptor: int, text: bytes, at: int) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "full")
        written = real(descriptor, text[:room], at)
        room = 0
        return written

    monkeypatch.setattr(audit.os, "pwrite", short)
    with pytest.raises(OSError, match="full"):
        trail.begin(DEED)
    monkeypatch.undo()
    trail.write(DEED)
    assert len(lines(tmp_path)) == 2


def test_half_a_line_of_somebody_else_is_not_glued_to_ours(tmp_path: Path) -> None:
    """A8: as an earlier version left it on a full disk."""
    (tmp_path / "audit.jsonl").write_text('{"at":1.0,"who')
    trail = Audit(Settings(tmp_path))
    trail.begin(DEED).end("abc", 202, "")
    half, ours = (tmp_path / "audit.jsonl").read_text().splitlines()
    assert half == '{"at":1.0,"who'
    assert json.loads(ours)["status"] == 202


def test_many_writers_do_not_mix_their_lines(tmp_path: Path) -> None:
    """A8."""

    def work(name: str) -> None:
        trail = Audit(Settings(tmp_path))
        for i in range(20):
            trail.begin(AuditEntry(1.0, name, "x", f"POST /{i}")).end("r", 200, "")

    threads = [threading.Thread(target=work, args=(str(i),)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = lines(tmp_path)
    assert len(found) == 120
    assert all(one["status"] == 200 for one in found)


@given(st.text(), st.lists(st.sampled_from(["force", "sim", "token", "x"])))
def test_the_query_is_bounded_and_has_no_values_of_unknown_parameters(value: str, names: list[str]) -> None:
    """A8: what somebody puts into a wrong parameter may be a secret."""
    query = urlencode([(name, "canary" + value) for name in names])
    found = told(query, ("force", "sim"))
    assert len(found) <= WORDS
    assert found.count("canary") <= sum(name in ("force", "sim") for name in names)
    assert "token=canary" not in found


def test_tokens_are_told_nowhere(tmp_path: Path) -> None:
    """A8: neither in a path nor in a parameter that a call has."""
    assert "abc" not in shown("POST /v1/bw_abc-def_1")
    assert "abc" not in told("sim=bw_abc", ("sim",))
    assert len(told("sim=" + "y" * 9_999, ("sim",))) < VALUE + 10
