"""What planning works out for task service operations, beside the draft that all types share."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from msgspec.structs import replace

from batchwright.model.environment import Resource
from batchwright.model.taskserv import Taskserv, by_provided_name
from batchwright.operations.planner_state import Draft, PlannedServer
from batchwright.operations.taskserv_batch.structs import TaskservBatch, TaskservRequest, TaskservUse


@dataclass(slots=True)
class PlannedInstall:
    """What one operation installs on servers that are in the same state: `order`, and what each requires among it."""

    order: tuple[str, ...]
    hard: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Membership:
    """A server's part in what one operation joins together by one task service; the first of `members` leads."""

    members: list[PlannedServer]
    number: int

    @property
    def leader(self) -> PlannedServer:
        return self.members[0]


@dataclass(slots=True)
class TaskservDraft(Draft):
    """The shared draft, whose parts are the same objects, and more. Lists are by the operations' index in `order`."""

    provided: dict[str, tuple[str, ...]] = field(default_factory=dict)
    listed: dict[int, dict[str, TaskservUse]] = field(default_factory=dict)
    installs: dict[int, list[PlannedInstall]] = field(default_factory=dict)  # one per target
    sequence: dict[int, tuple[str, ...]] = field(default_factory=dict)  # all of an operation's, on any server
    clusters: dict[tuple[str, int], Membership] = field(default_factory=dict)  # by task service and place
    requests: dict[int, dict[str, TaskservRequest]] = field(default_factory=dict)
    recorded: dict[tuple[str, str], Resource] = field(default_factory=dict)  # what the environment has, by server

    @classmethod
    def over(cls, draft: Draft) -> TaskservDraft:
        """A draft that adds to `draft`."""
        shared = {one.name: getattr(draft, one.name) for one in fields(Draft)}
        kind, resources = TaskservRequest.kind(), draft.observations.resources
        recorded = {(one.server, one.name): one for one in resources if one.kind == kind}
        named = {name: entry for name, entry in _named_entries(draft).items() if name not in draft.catalogue}
        if named:
            shared["catalogue"] = {**draft.catalogue, **named}
        return cls(**shared, provided=by_provided_name(shared["catalogue"]), recorded=recorded)


def _named_entries(draft: Draft) -> dict[str, Taskserv]:
    """The entries of task services that have a name of their own, by that name."""
    uses = [use for op in draft.workflow.operations if isinstance(op, TaskservBatch) for use in op.taskservs]
    return {
        use.name: replace(draft.catalogue[use.entry], name=use.name, provides=())
        for use in uses
        if use.entry and use.entry in draft.catalogue
    }
