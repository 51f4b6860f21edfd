"""Use cases of the catalogue of task services: its entries, and whether they are right."""

from __future__ import annotations

from pathlib import Path

from batchwright.app.settings import Settings
from batchwright.errors import UsageError
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.did_you_mean import close_matches
from batchwright.model.taskserv import Taskserv
from batchwright.taskservs.catalogue import ENTRY_FILE, all_folders, folders_in, lint_folders, load_catalogue


def taskserv_offers(settings: Settings) -> list[Taskserv]:
    """The catalogue in order of name. Raises CatalogueInvalid."""
    catalogue = load_catalogue(settings.catalogues)
    return [catalogue[key] for key in sorted(catalogue)]


def taskserv_offer(settings: Settings, name: str) -> Taskserv:
    """The entry of that name. Raises UsageError, CatalogueInvalid."""
    catalogue = load_catalogue(settings.catalogues)
    if name not in catalogue:
        near = close_matches(name, catalogue, n=1)
        meant = f"Did you mean {near[0]}? " if near else ""
        raise UsageError(f"there is no task service {name!r}", hint=f"{meant}List them with: batchwright taskservs")
    return catalogue[name]


def lint_entries(settings: Settings, folder: Path | None) -> tuple[list[Path], list[Diagnostic]]:
    """What was looked at, and what is wrong with it: one entry, a folder of them, or all of the catalogue.

    Raises CatalogueInvalid where there is none.
    """
    if folder is None:
        folders = [Path(str(each)) for each in all_folders(settings.catalogues)]
    elif (folder / ENTRY_FILE).is_file():
        folders = [folder.absolute()]
    else:
        folders = [Path(str(each)) for each in folders_in(folder)]
    return folders, lint_folders(folders)
