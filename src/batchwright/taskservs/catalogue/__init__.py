"""The catalogue: one folder per task service, and the loader that reads them strictly."""

from batchwright.model.diagnostic import Diagnostic
from batchwright.taskservs.catalogue.entries import (
    GROUP,
    Catalogue,
    all_folders,
    folders_in,
    load_catalogue,
    read_entry,
)
from batchwright.taskservs.catalogue.lint import lint_folders
from batchwright.taskservs.catalogue.metadata import DEPLOY_FILE, ENTRY_FILE, digest_of

__all__ = [
    "DEPLOY_FILE",
    "ENTRY_FILE",
    "GROUP",
    "Catalogue",
    "Diagnostic",
    "all_folders",
    "digest_of",
    "folders_in",
    "lint_folders",
    "load_catalogue",
    "read_entry",
]
