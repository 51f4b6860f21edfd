"""The catalogue: folders with a taskserv.yaml, built in, from installed packages, and the user's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import EntryPoint
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NoReturn

from batchwright.errors import CatalogueInvalid
from batchwright.installed_entry_points import entry_points
from batchwright.model.taskserv import Taskserv, by_provided_name
from batchwright.taskservs.catalogue.metadata import ENTRY_FILE, closest, examine

GROUP = "batchwright.taskservs"  # entry points that name a package whose folder holds entries


class Catalogue(dict[str, Taskserv]):
    """The entries by name, in order; `folders` is where each came from and its deploy.py is."""

    def __init__(self) -> None:
        super().__init__()
        self.folders: dict[str, Path] = {}

    def add(self, entry: Taskserv, folder: Traversable) -> None:
        """Add an entry. Raises CatalogueInvalid if its name is taken."""
        if entry.name in self:
            _refuse(
                folder / ENTRY_FILE,
                f'there is a task service "{entry.name}" already, in {self.folders[entry.name]}',
                "Give one of them another name.",
            )
        self[entry.name] = entry
        self.folders[entry.name] = _real(folder)


def load_catalogue(own: Iterable[Path] = ()) -> Catalogue:
    """All entries: built in, from installed packages, and from the user's folders. Raises CatalogueInvalid."""
    found = Catalogue()
    for folder in all_folders(own):
        found.add(read_entry(folder), folder)
    _check_requires(found)
    return found


def read_entry(folder: Traversable) -> Taskserv:
    """The entry in one folder. Raises CatalogueInvalid, which names the file, the field and the fix."""
    examined = examine(folder)
    if examined.entry is None:
        first, *others = examined.mistakes
        more = f", and {len(others)} more: batchwright taskservs check {folder}" if others else ""
        raise CatalogueInvalid(f"{first.file}: {first.message}{more}", hint=first.hint)
    return examined.entry


def all_folders(own: Iterable[Path] = ()) -> list[Traversable]:
    """The folders of all entries, valid or not. Raises CatalogueInvalid."""
    return [folder for root in _roots(own) for folder in folders_in(root)]


def folders_in(root: Traversable) -> list[Traversable]:
    """The folders below it that hold an entry. Raises CatalogueInvalid if there is none."""
    if not root.is_dir():
        _refuse(root, "is not a folder", "Give a folder that contains one folder per task service.")
    children = sorted(root.iterdir(), key=lambda child: child.name)
    found = [child for child in children if child.is_dir() and (child / ENTRY_FILE).is_file()]
    if not found:
        _refuse(root, f"holds no task service: no folder with a {ENTRY_FILE} in it", "Check the path.")
    return found


def _roots(own: Iterable[Path]) -> Iterator[Traversable]:
    yield files(__package__)
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        yield _root_of(point)
    yield from dict.fromkeys(own)


def _root_of(point: EntryPoint) -> Traversable:
    try:
        return files(point.load())
    except Exception as error:  # a plug-in may fail in any way; it is named, and the user decides
        raise CatalogueInvalid(
            f'the entry point "{point.name}" ({point.value}) of group {GROUP} cannot be loaded: {error}',
            hint="Fix or uninstall the package that contains it.",
        ) from error


def _check_requires(entries: Catalogue) -> None:
    providers = by_provided_name(entries)
    graph: dict[str, list[str]] = {}
    for entry in entries.values():
        for name in entry.requires:
            if name not in providers:
                _refuse(_file(entries, entry.name), f'requires: nothing provides "{name}"', closest(name, providers))
        # with several to choose from, a choice that makes no circle may exist
        graph[entry.name] = [providers[name][0] for name in entry.requires if len(providers[name]) == 1]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = error.args[1]
        message = f"requires: circular dependency: {' before '.join(circle)}"
        _refuse(_file(entries, circle[0]), message, "Remove one of these requirements.")


def _file(entries: Catalogue, name: str) -> Path:
    return entries.folders[name] / ENTRY_FILE


def _real(folder: Traversable) -> Path:
    """The folder as a path: deploys are run from files."""
    if not isinstance(folder, Path):
        _refuse(folder, "is not a folder of the file system", "Install the package that brings it unpacked.")
    return folder


def _refuse(source: Traversable, message: str, hint: str) -> NoReturn:
    raise CatalogueInvalid(f"{source}: {message}", hint=hint)
