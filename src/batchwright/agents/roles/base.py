"""What a role is, and what it answers: a summary, findings with evidence, and requests that name only what exists."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from msgspec import Struct

from batchwright.agents.roles.payloads import Payload
from batchwright.agents.slices.base import Evidence, Omitted, Slice
from batchwright.errors import UsageError


class Subject(StrEnum):
    """What a role reads."""

    RUN = "run"
    PLAN = "plan"  # of a file, or the one that a run applies
    FILE = "file"  # a workflow file, to be changed
    ENVIRONMENT = "environment"
    REHEARSAL = "rehearsal"  # the report of a rehearsal, in a file


class ActionRequest(Struct, frozen=True, omit_defaults=True):
    """Something that a person may decide to do, with the command that does it. `destroys`: how much it takes away."""

    action: str
    command: str
    step: str = ""
    reason: str = ""
    destroys: int = 0


class Finding(Struct, frozen=True, omit_defaults=True):
    """One thing that was found. `unverified` are words of a model's claim that stand in nothing that it was sent."""

    claim: str
    evidence: tuple[Evidence, ...] = ()
    unverified: tuple[str, ...] = ()


class ModelWords(Struct, frozen=True, omit_defaults=True):
    """What a language model said about a slice. Nothing acts on it.

    `tokens_in` and `tokens_out` are as its provider counted them, our own count where it does not say.
    """

    model: str
    text: str
    findings: tuple[Finding, ...]
    unverified: int
    tokens_in: int
    tokens_out: int


class AgentReport(Struct, frozen=True, omit_defaults=True):
    """What a role answers. `text` is the slice that it read, of `tokens` tokens by our estimate, within `budget`.

    `subject` is the run, file, environment or report; `as_of_seq` the run's newest event then, 0 if it is about no run.
    `words` are those of a model, if one was asked, and `note` why none was asked although one is set up.
    """

    role: str
    subject: str
    summary: str
    findings: tuple[Finding, ...]
    actions: tuple[ActionRequest, ...]
    omitted: tuple[Omitted, ...]
    payload: Payload
    text: str
    tokens: int
    budget: int
    as_of_seq: int
    digest: str
    words: ModelWords | None = None
    note: str = ""


class AgentAnswer(Struct, frozen=True):
    """What was asked, a role or a bundle of roles, and the reports."""

    asked: str
    reports: tuple[AgentReport, ...]


class RoleAnswer(Struct, frozen=True):
    """What a role makes of its source, before it becomes a report."""

    subject: str
    summary: str
    told: Slice
    payload: Payload
    actions: tuple[ActionRequest, ...] = ()


class AgentRole(Struct, frozen=True):
    """One role as data: what it answers, what it reads, within how many tokens.

    `slices` are the kinds of slices about a run that it needs the events of. `findings` are the kinds of facts that
    become findings. `actions` are those that it may ask for. `instructions` is what a model is told. `answer` makes
    the answer from a source, a query and a budget; it raises UsageError for a bad query.
    """

    name: str
    question: str
    subject: Subject
    budget: int
    findings: tuple[str, ...]
    instructions: str
    answer: Callable[[Any, str, int], RoleAnswer]
    slices: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()

    def report(self, source: object, query: str = "", budget: int = 0) -> AgentReport:
        """The report; a budget of 0 is the usual one. Raises UsageError."""
        made = self.answer(source, query, budget or self.budget)
        strange = [one.action for one in made.actions if one.action not in self.actions]
        if strange:
            raise UsageError(f"the role {self.name} may not ask for {', '.join(strange)}")
        told = made.told
        return AgentReport(
            role=self.name,
            subject=made.subject,
            summary=made.summary,
            findings=tuple(Finding(fact.text, fact.evidence) for fact in told.facts if fact.kind in self.findings),
            actions=made.actions,
            omitted=told.omitted,
            payload=made.payload,
            text=told.text,
            tokens=told.tokens,
            budget=told.budget,
            as_of_seq=told.as_of_seq,
            digest=told.digest,
        )
