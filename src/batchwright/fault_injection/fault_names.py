"""The words of the faults, by what they affect. docs/faults.md explains each."""

from __future__ import annotations

from batchwright.model.fault import FaultClass

# In the order in which they are drawn: the first that hits is the call's
CALL_FAULTS = ("throttle", "transient", "bad_gateway", "lost_answers")
CREATE_FAULTS = (*CALL_FAULTS, "late_commits")
SERVER_FAULTS = ("never_ready", "broken")  # of what a create makes, whatever happens to the call
READ_FAULTS = ("read_errors",)
PROGRAM_FAULTS = ("transient", "lost_answers")  # of what is done on a server, and of commands

# What a scripted fault may be: every refusal that the engine tells apart, and the words above
_NOT_REFUSALS = (FaultClass.TIMEOUT, FaultClass.IN_DOUBT, FaultClass.EXIT)
REFUSALS = tuple(str(kind) for kind in FaultClass if kind not in _NOT_REFUSALS)
CALL_EFFECTS = tuple(dict.fromkeys((*REFUSALS, *CALL_FAULTS)))
CREATE_EFFECTS = tuple(dict.fromkeys((*REFUSALS, *CREATE_FAULTS, *SERVER_FAULTS)))
PROGRAM_EFFECTS = (*REFUSALS, str(FaultClass.EXIT), "lost_answers")
