"""The catalogue: one folder per task service, and the loader that reads them strictly."""

from batchwright.taskservs.catalogue.entries import ENTRY_FILE, GROUP, entry_folders, load_catalogue

__all__ = ["ENTRY_FILE", "GROUP", "entry_folders", "load_catalogue"]
