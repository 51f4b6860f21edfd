"""Converts the result of a deploy or a check to an outcome of the runner port."""

from __future__ import annotations

from batchwright.model.call_outcome import CheckResult, Rejected
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.taskserv import Taskserv
from batchwright.printable import printable, shortened
from batchwright.redaction import Redactor
from batchwright.taskservs.base import Tell
from batchwright.taskservs.runner.child_protocol import Done

TAIL_LINES = 12
WIDTH_MAX = 500
CHANGES_NAMED = 5


def failed(name: str, done: Done, redact: Redactor) -> Rejected:
    """A failed deploy: the operation and the end of its output. A retry may repair it."""
    where = f"{name}: {done.failed or done.fault}"
    about = f"{where}: {done.fault}" if done.failed and not done.tail else where
    said = redact.shown("\n".join([about, *done.tail[-TAIL_LINES:]]))
    kind = FaultClass.PERMANENT if done.bug else FaultClass.TRANSIENT
    return Rejected(Fault(kind, _short(said), "deploy-failed"))


def unhealthy(name: str, check: CheckResult) -> Rejected:
    """A check that still fails after its retries."""
    said = "\n".join(check.output.splitlines()[-TAIL_LINES:])
    message = f"{name}: the check {check.name} fails: {_short(said)}"
    return Rejected(Fault(FaultClass.PERMANENT, message, "check-failed"))


def _short(text: str) -> str:
    """Escaped for a terminal, with lines cut to a readable length."""
    return "\n".join(shortened(line, WIDTH_MAX) for line in printable(text).split("\n"))


def unsupported(entry: Taskserv, os: str, release: str) -> Rejected | None:
    """Why the entry cannot be installed on this operating system; None if it can."""
    if not entry.platforms or any(platform.covers(os, release) for platform in entry.platforms):
        return None
    known = ", ".join(map(str, entry.platforms))
    message = f"{entry.name} cannot be installed on {os} {release}".rstrip() + f", only on {known}"
    hint = "Use another image for the server, or remove the task service."
    return Rejected(Fault(FaultClass.INVALID, message, "platform-unsupported", hint))


def tell_changes(done: Done, tell: Tell) -> None:
    """Report what changed, or that nothing did."""
    if not done.changes:
        tell("nothing changed")
        return
    named = ", ".join(done.changes[:CHANGES_NAMED])
    more = f" and {len(done.changes) - CHANGES_NAMED} more" if len(done.changes) > CHANGES_NAMED else ""
    tell(f"changed by {len(done.changes)} of {done.operations} operations: {named}{more}")
