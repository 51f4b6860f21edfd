"""File to Workflow: Nickel contracts (schemas), evaluation under limits, all problems at once with file:line:column."""

from batchwright.loader.contract_report import PathDiagnostic
from batchwright.loader.evaluator_client import Confinement, confinement
from batchwright.loader.limits import LOCAL, UNTRUSTED, LoaderLimits
from batchwright.loader.load import Loaded, SourceLocation, load, load_source, locate, locate_source
from batchwright.loader.nickel_expressions import Path_
from batchwright.loader.rehearsal_rules import JudgedEnds, judge_ends

__all__ = [
    "LOCAL",
    "UNTRUSTED",
    "Confinement",
    "JudgedEnds",
    "Loaded",
    "LoaderLimits",
    "PathDiagnostic",
    "Path_",
    "SourceLocation",
    "confinement",
    "judge_ends",
    "load",
    "load_source",
    "locate",
    "locate_source",
]
