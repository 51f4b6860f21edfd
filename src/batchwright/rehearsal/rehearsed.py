"""What is rehearsed, and what is kept of a run of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from batchwright.model.environment import Environment, Resource
from batchwright.model.plan import Plan
from batchwright.providers.base import Capabilities


class Rehearsed(Struct, frozen=True):
    """What is rehearsed: the plan, what its providers promise, and what its environment has already.

    `settings` are those of the simulation; `existing` are servers and what is on them, by provider.
    """

    plan: Plan
    capabilities: Mapping[str, Capabilities]
    settings: dict[str, Any]
    environment: Environment | None = None
    resources: tuple[Resource, ...] = ()


class Help(Struct, frozen=True):
    """What a person had to do before the run went on: `kind` says what, `steps` where, and `why` the class of a fault.

    The kinds are doubt (say what became of a command), resume, rollback (try it again) and answer (a late one).
    """

    kind: str
    steps: tuple[str, ...]
    why: str = ""


class TraceEntry(Struct, frozen=True, omit_defaults=True):
    """What happened when, in seconds since the start; `process` 0 is the world and the people in it.

    `what` is a call's verb, or starts, dies, ends, suspended, error, `fault FAULT`, `help KIND`, `did VERB`, vanished.
    """

    at: float
    process: int
    what: str
    about: str = ""
