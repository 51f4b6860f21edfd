"""What the emulated AWS does like the real one, the evidence for it, and what it leaves out."""

from __future__ import annotations

from collections.abc import Iterator

from batchwright.emulators.aws.actions import CHANGES, READS

# "described": in botocore's data; "documented": in AWS's guides; "assumed": not verified by anybody here
_RULES = (
    ("described", "names, kinds and nesting of every parameter and every element of an answer; required parameters"),
    ("documented", "ClientToken: the same call gives the same instance, another one IdempotentParameterMismatch"),
    ("documented", "a token whose instance was terminated: IdempotentInstanceTerminated"),
    ("documented", "RunInstances: 5 calls at once, 2 per second after that, else RequestLimitExceeded with status 503"),
    ("documented", "pending, running, shutting-down, terminated; terminated instances stay listed for an hour"),
    ("documented", "one unknown id fails a describe by id; a filter omits what does not exist"),
    ("documented", "names of security groups and key pairs are unique; a group in use cannot be deleted"),
    ("documented", "disks end with their instance only where the request or the image says so (here images never do)"),
    (
        "documented",
        "another type: only while stopped; its quota and room are looked at by the start, not by the change",
    ),
    ("documented", "a stopped instance counts against no quota, and has another public address once it is started"),
    ("assumed", "list_lag: changed tags are seen as late as new ones"),
    ("documented", "a request signed five minutes off is refused; DryRun answers DryRunOperation"),
    ("assumed", "list_lag: everything that is created becomes visible in describes after the same time"),
    ("assumed", "late_commits: a call whose connection broke is carried out as if it had been sent later"),
)


def coverage() -> Iterator[str]:
    """What is emulated and the evidence for it, as lines for people."""
    yield f"calls: {', '.join(sorted({**READS, **CHANGES}))}"
    yield from (f"{source:10}  {rule}" for source, rule in _RULES)
    yield "left out: signatures are not verified; spot, elastic addresses, VPCs and subnets besides the default ones"
