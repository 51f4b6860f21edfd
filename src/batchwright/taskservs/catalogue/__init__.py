"""The catalogue: one folder per task service, and the loader that reads them strictly."""

from batchwright.taskservs.catalogue.entries import GROUP, Catalogue, load_catalogue
from batchwright.taskservs.catalogue.reading import DEPLOY_FILE, ENTRY_FILE, digest_of

__all__ = ["DEPLOY_FILE", "ENTRY_FILE", "GROUP", "Catalogue", "digest_of", "load_catalogue"]
