"""An archive holds runs byte for byte, and what is not whole is refused."""

from __future__ import annotations

import asyncio
import errno
import gzip
import os
import re
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from batchwright.errors import ArchiveRefused, StoreFull
from batchwright.journal.archive_file import ArchiveWriter, read_archive
from batchwright.journal.base import ArchivedRun, Head
from batchwright.journal.event_rows import EventRow
from batchwright.journal.memory import MemoryJournal
from batchwright.testing.journal_archive_suite import SIGNALS, filled
from batchwright.testing.journal_suite import NOW, summary_of

Content = dict[str, tuple[ArchivedRun, list[EventRow]]]


async def content() -> Content:
    journal = MemoryJournal()
    return {
        run: (pages := await filled(journal, run)) and (ArchivedRun(summary_of(run), await journal.head(run)), pages)
        for run in ("aaaa", "bbbb")
    }


def verified(path: Path) -> list[ArchivedRun]:
    return [one for one in read_archive(path) if isinstance(one, ArchivedRun)]


def written(path: Path) -> Content:
    runs = asyncio.run(content())
    with ArchiveWriter(path, NOW) as archive:
        for line, pages in runs.values():
            archive.run(line.summary, line.head)
            archive.pages(pages)
            archive.signals(SIGNALS)
        archive.finish()
    return runs


def test_it_holds_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl.gz"
    runs = written(path)
    expected: list[object] = []
    for line, pages in runs.values():
        expected += [line, *pages, *SIGNALS]
    assert list(read_archive(path)) == expected
    assert verified(path) == [line for line, _ in runs.values()]
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["one.jsonl.gz"]
    lines = gzip.decompress(path.read_bytes()).splitlines()  # each by itself is JSON that other tools read
    assert {msgspec.json.decode(line)["type"] for line in lines} == {"archive", "run", "page", "signal", "end"}


def test_what_is_not_finished_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "one"
    with ArchiveWriter(path, NOW) as archive:
        archive.run(summary_of("aaaa"), Head(1, ""))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".one.part").write_text("what a killed process left")
    written(path)
    assert [one.name for one in tmp_path.iterdir()] == ["one"]
    with pytest.raises(ArchiveRefused, match="exists already"):
        ArchiveWriter(path, NOW)
    verified(path)


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreFull) as told:
        written(tmp_path / "one")
    assert told.value.hint.startswith("Nothing was deleted.")
    assert list(tmp_path.iterdir()) == []


def test_each_truncation_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "one"
    written(path)
    whole = path.read_bytes()
    for length in (0, 1, 9, 10, 11, 40, *range(50, len(whole), len(whole) // 40), len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ArchiveRefused, match="not a complete archive"):
            verified(path)


def test_each_changed_byte_of_the_content_is_noticed(tmp_path: Path) -> None:
    """Whoever changes the text can compress it again, but the digest and the chains say otherwise."""
    path = tmp_path / "one"
    written(path)
    text = gzip.decompress(path.read_bytes())
    lines = text.splitlines(keepends=True)
    for at in [*range(0, len(text), len(text) // 60), len(text) - 2]:
        path.write_bytes(gzip.compress(text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :], 1))
        with pytest.raises(ArchiveRefused):
            verified(path)
    for changed in (lines[:-1], lines[1:], [*lines, lines[-1]], [*lines, b"{}\n"], lines[:3] + lines[4:],
                    [lines[0], lines[2], lines[1], *lines[3:]], [*lines[:2], lines[1], *lines[2:]], []):  # fmt: skip
        path.write_bytes(gzip.compress(b"".join(changed), 1))
        with pytest.raises(ArchiveRefused, match="not a complete archive"):
            verified(path)


@pytest.mark.parametrize("wrong", ["head", "order", "other", "unchained"])
def test_pages_must_be_the_runs_chain(tmp_path: Path, wrong: str) -> None:
    """Also with a digest that fits: nothing but the run's own pages, all of them, in their order."""
    (line, pages), (_, others) = asyncio.run(content()).values()
    if wrong == "head":
        line = replace(line, head=replace(line.head, seq=line.head.seq + 1))
    chosen = {
        "order": [*pages[:1], *pages[2:], pages[1]],
        "other": [*pages[:1], others[1], *pages[2:]],
        "unchained": [*pages[:1], pages[1]._replace(chain=None), *pages[2:]],
    }.get(wrong, pages)
    with ArchiveWriter(tmp_path / "one", NOW) as archive:
        archive.run(line.summary, line.head)
        archive.pages(chosen)
        archive.finish()
    with pytest.raises(ArchiveRefused):
        verified(tmp_path / "one")


def test_a_newer_archive_and_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "one"
    written(path)
    text = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(re.sub(b'"version":1', b'"version":2', text, count=1), 1))
    with pytest.raises(ArchiveRefused, match="version 2; this Batchwright knows versions up to 1"):
        verified(path)
    path.write_text("no archive")
    os.mkfifo(tmp_path / "pipe")
    for other, words in ((path, "not a complete"), (tmp_path / "pipe", "not a regular"), (tmp_path, "cannot be read"),
                         (tmp_path / "none", "No such file")):  # fmt: skip
        with pytest.raises(ArchiveRefused, match=words):
            verified(other)
