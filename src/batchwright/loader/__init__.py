"""File to Workflow: Nickel contracts (schemas), evaluation under limits, all problems at once with file:line:column."""

from batchwright.loader.evaluator import Confinement, confinement
from batchwright.loader.expressions import Path_
from batchwright.loader.harvest import Finding
from batchwright.loader.limits import LOCAL, UNTRUSTED, Limits
from batchwright.loader.load import Loaded, Spot, load, load_source, locate, locate_source

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
