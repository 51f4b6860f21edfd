"""File to Workflow: Nickel contracts (schemas), evaluation under limits, all problems at once with file:line:column."""

from batchwright.loader.evaluator import Confinement, confinement
from batchwright.loader.limits import LOCAL, UNTRUSTED, Limits
from batchwright.loader.load import Loaded, Spot, load, load_source, locate, locate_source
from batchwright.loader.nickel_expressions import Path_
from batchwright.loader.report import Finding

__all__ = [
    "LOCAL",
    "UNTRUSTED",
    "Confinement",
    "Finding",
    "Limits",
    "Loaded",
    "Path_",
    "Spot",
    "confinement",
    "load",
    "load_source",
    "locate",
    "locate_source",
]
