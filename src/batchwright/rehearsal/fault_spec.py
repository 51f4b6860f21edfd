"""One fault at one call of a port, as people write it: `servers/web-03 create:after`."""

from __future__ import annotations

import re

from msgspec import Struct

from batchwright.errors import UsageError

BEFORE, AFTER = "before", "after"  # the process dies on this side of the call
ROLLBACK = "rollback: "  # begins the text of an experiment in which the run is rolled back once it has completed
_FORM = re.compile(r"(.+?) (record [^\s:@#]+|[a-z_]+)(?:#(\d+))?(?:@(\d+))?:(\w+)")
_EXAMPLE = "--at 'servers/web-01 create:after'"


class PortCall(Struct, frozen=True):
    """One call of a port. `subject` is a step, a provider or the store; `number` counts its calls of this verb in its
    process, from 1. `looks_at` is what a check looks at: http, http body, tcp or program.

    `alike` is what it has in common with calls of which one stands for all. `before` and `after` are numbers of the
    states that a process leaves behind which dies there: what is durable, and which calls are in flight.
    """

    subject: str
    verb: str
    number: int
    operation: str = ""
    provider: str = ""
    looks_at: str = ""
    alike: str = ""
    before: int = 0
    after: int = 0

    def __str__(self) -> str:
        return f"{self.subject} {self.verb}" + (f"#{self.number}" if self.number > 1 else "")


class Injection(Struct, frozen=True):
    """A fault at a call; `process` counts the processes that drive the run, from 1."""

    subject: str
    verb: str
    fault: str
    number: int = 1
    process: int = 1

    @classmethod
    def at(cls, call: PortCall, fault: str, process: int = 1) -> Injection:
        """A fault at this call."""
        return cls(call.subject, call.verb, fault, call.number, process)

    def __str__(self) -> str:
        number = f"#{self.number}" if self.number > 1 else ""
        process = f"@{self.process}" if self.process > 1 else ""
        return f"{self.subject} {self.verb}{number}{process}:{self.fault}"


class Experiment(Struct, frozen=True):
    """A run with these faults. `rollback`: it is rolled back once it has completed."""

    injections: tuple[Injection, ...] = ()
    rollback: bool = False

    def __str__(self) -> str:
        return (ROLLBACK if self.rollback else "") + " + ".join(map(str, self.injections))

    @classmethod
    def parse(cls, text: str, known: frozenset[str]) -> Experiment:
        """Read what `str` writes. Raises UsageError for another form, and for a fault that is not `known`."""
        parts = []
        for part in text.removeprefix(ROLLBACK).split(" + "):
            found = _FORM.fullmatch(part.strip())
            if found is None:
                raise UsageError(f"--at {part}: expected SUBJECT VERB:FAULT", hint=f"For example: {_EXAMPLE}")
            subject, verb, number, process, fault = found.groups()
            if fault not in known:
                raise UsageError(f"--at {part}: there is no fault {fault}", hint=f"Faults: {', '.join(sorted(known))}")
            parts.append(Injection(subject, verb, fault, int(number or 1), int(process or 1)))
        return cls(tuple(parts), text.startswith(ROLLBACK))
