"""A folder, an archive or a file that goes to servers: read within bounds, with one digest for the same content.

Owners, times and the kind of archive are not part of it: a folder and an archive of it have the same digest.
"""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from batchwright.errors import SourceInvalid, SourceMissing

BYTES_MAX = 64 * 1024 * 1024  # of all files together
FILE_BYTES_MAX = 1024 * 1024  # of a file that is put on a server as it is, or read as a template
ENTRIES_MAX = 10_000
PATH_MAX = 255
FILE_NAME = "content"  # of the only entry of a tree that is one file, whatever the file is called
LEFT_OUT = frozenset({".git", ".hg", ".svn", "__pycache__"})

_TAR = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
_ZIP = (".zip",)
_LINK_IN_ZIP = 0o120000


class SourceEntry(Struct, frozen=True, order=True):
    """One file, or a link to another entry. `path` has no `..` and does not begin with `/`."""

    path: str
    content: bytes
    executable: bool = False
    link: str = ""


class SourceTree(Struct, frozen=True):
    """What was read, in the order of the paths."""

    entries: tuple[SourceEntry, ...]

    @property
    def digest(self) -> str:
        """The SHA-256 of all paths and contents, in hex."""
        digest = hashlib.sha256()
        for one in self.entries:
            kind = "l" if one.link else "x" if one.executable else "f"
            body = one.link.encode() if one.link else one.content
            digest.update(f"{one.path}\0{kind}\0{len(body)}\0".encode() + body)
        return digest.hexdigest()

    def archive(self) -> bytes:
        """An uncompressed tar file of it, owned by root."""
        held = io.BytesIO()
        with tarfile.open(fileobj=held, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for one in self.entries:
                member = tarfile.TarInfo(one.path)
                member.mode = 0o755 if one.executable else 0o644
                member.size = len(one.content)
                if one.link:
                    member.type, member.linkname = tarfile.SYMTYPE, one.link
                archive.addfile(member, io.BytesIO(one.content))
        return held.getvalue()


def read_source(path: Path, *, is_file: bool = False) -> SourceTree:
    """Read a source; `is_file`: one that is put on a server as it is, even an archive.

    Raises SourceMissing; SourceInvalid for what is too large or cannot be put on a server.
    """
    try:
        mode = path.stat().st_mode
        if is_file:
            if not stat.S_ISREG(mode):
                raise SourceInvalid(f"{path} is not a regular file")
            return _tree(iter([SourceEntry(FILE_NAME, _content(path.name, path, None, FILE_BYTES_MAX))]))
        if stat.S_ISDIR(mode):
            return _tree(_of_folder(path))
        if not stat.S_ISREG(mode):
            raise SourceInvalid(f"{path} is not a folder, an archive or a file")
        if path.name.endswith((*_TAR, *_ZIP)):
            return _tree(_of_archive(path))
        executable = bool(mode & 0o100)
        return _tree(iter([SourceEntry(path.name, _content(path.name, path, None, BYTES_MAX), executable)]))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SourceMissing(f"there is no {path}") from error
    except (OSError, ValueError, EOFError, tarfile.TarError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise SourceInvalid(f"{path} cannot be read: {error}") from error


def _tree(found: Iterator[SourceEntry]) -> SourceTree:
    entries: dict[str, SourceEntry] = {}
    size = 0
    for one in found:
        _check_path(one)
        size += len(one.content)
        if size > BYTES_MAX:
            raise SourceInvalid(f"it has more than {BYTES_MAX // 1024 // 1024} MiB")
        if one.path in entries:
            raise SourceInvalid(f"it has {one.path} twice")
        entries[one.path] = one
        if len(entries) > ENTRIES_MAX:
            raise SourceInvalid(f"it has more than {ENTRIES_MAX:,} files")
    if not entries:
        raise SourceInvalid("it has no files")
    links = {one.path for one in entries.values() if one.link}
    for path in entries:
        parent = path
        while parent := posixpath.dirname(parent):
            if parent in entries:
                what = "a link" if parent in links else "a file"
                raise SourceInvalid(f"{parent} is {what}, and {path} is to be in it")
    return SourceTree(tuple(entries[path] for path in sorted(entries)))


def _check_path(one: SourceEntry) -> None:
    parts = one.path.split("/")
    if not one.path.isprintable() or len(one.path.encode()) > PATH_MAX:
        raise SourceInvalid(f"it has a file whose name is too long or not printable: {one.path[:40]!r}")
    if one.path.startswith("/") or any(part in ("", ".", "..") for part in parts):
        raise SourceInvalid(f"{one.path} is not inside it")
    if one.link:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(one.path), one.link))
        if one.link.startswith("/") or target == ".." or target.startswith("../") or not one.link.isprintable():
            raise SourceInvalid(f"{one.path} is a link to {one.link!r}, which is not inside it")


def _of_folder(top: Path) -> Iterator[SourceEntry]:
    def refuse(error: OSError) -> None:
        raise error

    for folder, folders, files, handle in os.fwalk(top, onerror=refuse):
        inside = os.path.relpath(folder, top)
        prefix = "" if inside == "." else f"{inside}/"
        folders[:] = sorted(one for one in folders if one not in LEFT_OUT)
        for name in [*folders, *files]:
            mode = os.lstat(name, dir_fd=handle).st_mode
            if stat.S_ISLNK(mode):
                yield SourceEntry(prefix + name, b"", link=os.readlink(name, dir_fd=handle))
            elif stat.S_ISREG(mode):
                content = _content(prefix + name, name, handle, BYTES_MAX)
                yield SourceEntry(prefix + name, content, bool(mode & 0o100))
            elif not stat.S_ISDIR(mode):
                raise SourceInvalid(f"{prefix}{name} is not a file, a folder or a link")


def _content(shown: str, path: Path | str, folder: int | None, most: int) -> bytes:
    """The content of a regular file; a link that has taken its place is not followed inside a folder."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | (os.O_NOFOLLOW if folder is not None else 0)
    with os.fdopen(os.open(path, flags, dir_fd=folder), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise SourceInvalid(f"{shown} is not a regular file")
        return _bounded(shown, file.read, most)


def _bounded(shown: str, read: Callable[[int], bytes], most: int) -> bytes:
    content = read(most + 1)
    if len(content) > most:
        raise SourceInvalid(f"{shown} has more than {most // 1024 // 1024} MiB")
    return content


def _of_archive(path: Path) -> Iterator[SourceEntry]:
    if path.name.endswith(_ZIP):
        with zipfile.ZipFile(path) as archive:
            yield from _of_zip(archive)
        return
    with tarfile.open(path, "r:*") as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if member.isdir() or _is_left_out(name):
                continue
            if member.issym():
                yield SourceEntry(name, b"", link=member.linkname)
            elif member.isreg() and (file := archive.extractfile(member)) is not None:
                yield SourceEntry(name, _bounded(name, file.read, BYTES_MAX), bool(member.mode & 0o100))
            else:
                raise SourceInvalid(f"{name} is not a file, a folder or a symbolic link")


def _of_zip(archive: zipfile.ZipFile) -> Iterator[SourceEntry]:
    for member in archive.infolist():
        name = member.filename.removeprefix("./")
        if member.is_dir() or _is_left_out(name):
            continue
        mode = member.external_attr >> 16
        with archive.open(member) as file:
            content = _bounded(name, file.read, BYTES_MAX)
        if stat.S_IFMT(mode) == _LINK_IN_ZIP:
            yield SourceEntry(name, b"", link=content.decode())
        else:
            yield SourceEntry(name, content, bool(mode & 0o100))


def _is_left_out(name: str) -> bool:
    return not LEFT_OUT.isdisjoint(name.split("/"))
