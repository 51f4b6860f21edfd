"""File to Workflow: Nickel contracts (schemas), evaluation under limits, all problems at once with file:line:column."""

from batchwright.loader.evaluator import Confinement, confinement
from batchwright.loader.limits import LOCAL, UNTRUSTED, Limits
from batchwright.loader.load import Loaded, load, load_source

__all__ = ["LOCAL", "UNTRUSTED", "Confinement", "Limits", "Loaded", "confinement", "load", "load_source"]
