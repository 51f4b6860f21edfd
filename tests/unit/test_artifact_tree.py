"""What goes to servers: the same content has one digest, and nothing outside of it or too large is read."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from batchwright import artifact_tree
from batchwright.artifact_tree import SourceTree, read_source
from batchwright.errors import SourceInvalid, SourceMissing


def program(folder: Path) -> Path:
    (folder / "lib").mkdir(parents=True)
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o750)
    (folder / "lib" / "data.txt").write_text("data")
    (folder / "latest").symlink_to("lib/data.txt")
    return folder


def test_a_folder_and_its_archives_are_the_same_source(tmp_path: Path) -> None:
    folder = program(tmp_path / "program")
    with tarfile.open(tmp_path / "program.tar.gz", "w:gz") as archive:
        archive.add(folder, ".")
    with zipfile.ZipFile(tmp_path / "program.zip", "w") as zipped:
        for name, mode in (("run.sh", 0o100755), ("lib/data.txt", 0o100600)):
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            zipped.writestr(info, (folder / name).read_bytes())
        link = zipfile.ZipInfo("latest")
        link.external_attr = 0o120777 << 16
        zipped.writestr(link, "lib/data.txt")
    found = [read_source(tmp_path / name) for name in ("program", "program.tar.gz", "program.zip")]
    assert {one.digest for one in found} == {found[0].digest}
    assert [one.path for one in found[0].entries] == ["latest", "lib/data.txt", "run.sh"]
    (tmp_path / "packed.tar").write_bytes(found[0].archive())
    assert read_source(tmp_path / "packed.tar") == found[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "run.sh").write_text("#!/bin/sh\nexit 1\n"),
        lambda folder: (folder / "run.sh").chmod(0o640),
        lambda folder: (folder / "run.sh").rename(folder / "go.sh"),
        lambda folder: (folder / "more").write_text(""),
    ],
)
def test_another_content_has_another_digest(tmp_path: Path, change: Callable[[Path], object]) -> None:
    folder = program(tmp_path / "program")
    before = read_source(folder).digest
    change(folder)
    assert read_source(folder).digest != before


def test_times_owners_and_what_is_left_out_do_not_count(tmp_path: Path) -> None:
    folder = program(tmp_path / "program")
    before = read_source(folder)
    os.utime(folder / "run.sh", (1, 1))
    (folder / "run.sh").chmod(0o711)
    for name in (".git", "lib/__pycache__"):
        (folder / name).mkdir()
        (folder / name / "HEAD").write_text("x")
    assert read_source(folder) == before


def test_a_single_file_is_a_program_or_a_content(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("print(1)\n")
    (tmp_path / "two.py").write_text("print(1)\n")
    as_program = [read_source(tmp_path / name) for name in ("one.py", "two.py")]
    assert [tree.entries[0].path for tree in as_program] == ["one.py", "two.py"]
    as_file = [read_source(tmp_path / name, is_file=True) for name in ("one.py", "two.py")]
    assert as_file[0] == as_file[1]


def outside(folder: Path, member: str, link: str = "") -> Path:
    with tarfile.open(folder / "bad.tar", "w") as archive:
        info = tarfile.TarInfo(member)
        if link:
            info.type, info.linkname = tarfile.SYMTYPE, link
        archive.addfile(info, io.BytesIO())
    return folder / "bad.tar"


@pytest.mark.parametrize(
    ("member", "link"),
    [
        ("/etc/passwd", ""),
        ("../up", ""),
        ("a/../../up", ""),
        ("a\nb", ""),
        ("a", "/etc"),
        ("a", ".."),
        ("a/b", "../.."),
    ],
)
def test_what_leads_out_of_an_archive_is_refused(tmp_path: Path, member: str, link: str) -> None:
    with pytest.raises(SourceInvalid):
        read_source(outside(tmp_path, member, link))


def test_a_member_below_a_link_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        link = tarfile.TarInfo("a")
        link.type, link.linkname = tarfile.SYMTYPE, "b"
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("a/c"), io.BytesIO())
    with pytest.raises(SourceInvalid, match="a is a link"):
        read_source(tmp_path / "bad.tar")


@pytest.mark.parametrize("make", [lambda path: os.mkfifo(path), lambda path: path.symlink_to("/etc/passwd")])
def test_a_folder_with_a_pipe_or_a_link_out_of_it_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    folder = program(tmp_path / "program")
    make(folder / "lib" / "bad")
    with pytest.raises(SourceInvalid, match="lib/bad"):
        read_source(folder)


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = program(tmp_path / "program")
    monkeypatch.setattr(artifact_tree, "BYTES_MAX", 12)
    with pytest.raises(SourceInvalid, match="more than"):
        read_source(folder)
    monkeypatch.undo()
    monkeypatch.setattr(artifact_tree, "ENTRIES_MAX", 2)
    with pytest.raises(SourceInvalid, match="more than 2 files"):
        read_source(folder)


@pytest.mark.parametrize("broken", [b"", b"PK\x03\x04 and no more", b"\x1f\x8b no gzip"])
def test_a_damaged_archive_is_refused(tmp_path: Path, broken: bytes) -> None:
    for name in ("bad.zip", "bad.tar.gz"):
        (tmp_path / name).write_bytes(broken)
        with pytest.raises(SourceInvalid):
            read_source(tmp_path / name)


def test_what_is_not_there_is_missing_and_what_is_empty_invalid(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing):
        read_source(tmp_path / "nothing")
    with pytest.raises(SourceInvalid, match="no files"):
        read_source(tmp_path)
    assert SourceTree(()).digest != ""
