"""The parts all adapters share: pages, the folder."""

import errno
import os
from pathlib import Path

import pytest

from batchwright.errors import EventUnreadable, StoreCorrupt, StoreFull, StoreReadOnly, StoreUnavailable
from batchwright.journal import store_folder
from batchwright.journal.event_rows import PAGE_EVENTS, EventRow, paginate, unpack
from batchwright.testing.journal_suite import steps


def test_an_append_is_one_page_unless_it_is_long() -> None:
    assert [(page.first, page.last) for page in paginate(4, steps(5, 3))] == [(5, 7)]
    long = paginate(4, steps(5, 2 * PAGE_EVENTS + 1))
    assert [(page.first, page.last) for page in long] == [(5, 1004), (1005, 2004), (2005, 2005)]
    assert paginate(4, []) == []
    assert unpack("aaaa", long, 4, 9_999) == list(enumerate(steps(5, 2 * PAGE_EVENTS + 1), 5))


def test_reading_may_begin_and_end_within_a_page() -> None:
    pages = [*paginate(0, steps(1, 10)), *paginate(10, steps(11, 10))]
    assert unpack("aaaa", pages, 7, 6) == list(enumerate(steps(8, 6), 8))


def test_a_missing_page_is_seen() -> None:
    one, two, three = (paginate(after, steps(after + 1, 10))[0] for after in (0, 10, 20))
    for kept in ([one, three], [two, three], [one, EventRow(11, 21, two.version, two.body), three]):
        with pytest.raises(StoreCorrupt, match="run aaaa are missing near number"):
            unpack("aaaa", kept, 0, 100)


def test_a_page_of_a_newer_version_is_refused() -> None:
    with pytest.raises(EventUnreadable, match="knows up to"):
        unpack("aaaa", [EventRow(1, 1, 99, b"[]")], 0, 1)


def test_every_folder_that_is_made_is_private(tmp_path: Path) -> None:
    store_folder.make_private(tmp_path / "a" / "b")
    assert [(tmp_path / part).stat().st_mode & 0o777 for part in ("a", "a/b")] == [0o700, 0o700]
    store_folder.make_private(tmp_path / "a" / "b")


def test_a_file_in_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="not a folder"):
        store_folder.make_private(tmp_path / "file")
    with pytest.raises(StoreUnavailable):
        store_folder.make_private(tmp_path / "file" / "below")


@pytest.mark.parametrize(
    ("number", "told"),
    [(errno.ENOSPC, StoreFull), (errno.EDQUOT, StoreFull), (errno.EROFS, StoreReadOnly), (errno.EACCES, StoreReadOnly),
     (errno.EIO, StoreUnavailable)],
)  # fmt: skip
def test_what_the_system_says_becomes_what_to_do(number: int, told: type[Exception], tmp_path: Path) -> None:
    assert type(store_folder.explain(OSError(number, os.strerror(number)), tmp_path)) is told


def test_opening_waits_for_who_opens_and_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_folder, "OPENING_SECONDS", 0.0)
    with (
        store_folder.alone(tmp_path),
        pytest.raises(StoreUnavailable, match="another process has been opening"),
        store_folder.alone(tmp_path),
    ):
        pass
    with store_folder.alone(tmp_path):
        pass
