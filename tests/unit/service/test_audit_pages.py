"""The audit trail in pages: every line once, the newest first, whatever stands between."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.app.settings import Settings
from batchwright.errors import AuditUnreadable
from batchwright.service import audit_pages
from batchwright.service.audit import AUDIT_FILE, Audit, AuditEntry
from batchwright.service.audit_pages import AuditQuery, audit_page


def written(folder: Path, *entries: AuditEntry) -> Settings:
    settings = Settings(folder)
    for entry in entries:
        Audit(settings).write(entry)
    return settings


def entry(n: int, who: str = "ada", run: str = "") -> AuditEntry:
    return AuditEntry(float(n), who, "operator", f"POST /{n}", run, 202)


def whole(settings: Settings, limit: int, **filters: str) -> tuple[list[float], int]:
    found, before, unreadable = [], None, 0
    for _ in range(1_000):
        page = audit_page(settings, AuditQuery(**filters, before=before, limit=limit))
        found += [one.at for one in page.items]
        unreadable += page.unreadable
        if page.before is None:
            return found, unreadable
        before = page.before
    raise AssertionError("the pages do not end")


@given(st.lists(st.integers(0, 90), max_size=30), st.integers(1, 7), st.integers(20, 200))
def test_pages_have_every_line_once(pads: list[int], limit: int, piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as name:
        patch.setattr(audit_pages, "PIECE", piece + 400)  # longer than a line
        folder = Path(name)
        (folder / AUDIT_FILE).write_bytes(
            b"".join(msgspec.json.encode(entry(n)) + b" " * pad + b"\n" for n, pad in enumerate(pads))
        )
        assert whole(Settings(folder), limit) == (list(map(float, reversed(range(len(pads))))), 0)


def test_lines_that_a_crash_left_are_counted_and_left_out(tmp_path: Path) -> None:
    settings = written(tmp_path, entry(1), entry(2))
    with (tmp_path / AUDIT_FILE).open("ab") as file:
        file.write(b'{"at":3.0,"who":"a')
    written(tmp_path, entry(4))
    with (tmp_path / AUDIT_FILE).open("ab") as file:
        file.write(b"x" * 300_000)
    found, unreadable = whole(settings, 10)
    assert found == [4.0, 2.0, 1.0]
    assert unreadable >= 2


def test_a_request_searches_only_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = written(tmp_path, *map(entry, range(20)))
    monkeypatch.setattr(audit_pages, "BYTES_MOST", 300)
    first = audit_page(settings, AuditQuery(find="/0"))
    assert (first.items, first.before is None) == ((), False)
    assert whole(settings, 10, find="/0") == ([0.0], 0)


def test_lines_are_found_by_caller_run_and_words(tmp_path: Path) -> None:
    settings = written(tmp_path, entry(1, "ada", "abc"), entry(2, "bob", "abd"), entry(3, "ada", "xyz"))
    assert whole(settings, 10, who="ada")[0] == [3.0, 1.0]
    assert whole(settings, 10, run="ab")[0] == [2.0, 1.0]
    assert whole(settings, 10, find="BOB")[0] == [2.0]


def test_no_file_has_no_lines_and_one_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    assert whole(Settings(tmp_path), 10) == ([], 0)
    (tmp_path / AUDIT_FILE).mkdir()
    with pytest.raises(AuditUnreadable, match="cannot be read"):
        audit_page(Settings(tmp_path), AuditQuery())
