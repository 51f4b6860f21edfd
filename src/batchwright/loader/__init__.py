"""File to Workflow: Nickel contracts (schemas), evaluation under limits, all problems at once with file:line:column."""

from batchwright.loader.evaluator import Confinement, confinement
from batchwright.loader.limits import LOCAL, UNTRUSTED, LoaderLimits
from batchwright.loader.load import Loaded, Spot, load, load_source, locate, locate_source
from batchwright.loader.nickel_expressions import Path_
from batchwright.loader.report import PathDiagnostic

__all__ = [
    "LOCAL",
    "UNTRUSTED",
    "Confinement",
    "Loaded",
    "LoaderLimits",
    "PathDiagnostic",
    "Path_",
    "Spot",
    "confinement",
    "load",
    "load_source",
    "locate",
    "locate_source",
]
