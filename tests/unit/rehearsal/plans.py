"""Small plans to rehearse, with what their providers promise."""

from __future__ import annotations

from msgspec.structs import replace

from batchwright.model.plan import Guard, Plan
from batchwright.model.workflow import Dependency, DependencyKind
from batchwright.providers.base import Capabilities
from batchwright.rehearsal.rehearsed import Rehearsed
from tests.crash.scenarios import Settings, command, installs, plan, servers

UNGUARDED = Capabilities(Guard.LABEL_ONLY, 120.0, visible_seconds=30.0, create_seconds=12.0, poll_seconds=2.0)
SETTINGS: Settings = {"seed": 1, "spread": 0.0, "install_seconds": 0.0, "boot_seconds": 12.0}


def rehearsed(made: Plan) -> Rehearsed:
    """A plan of which every provider keeps no create from being repeated."""
    facts = tuple(UNGUARDED.facts(one.name, one.account) for one in made.providers)
    promised = {one.name: UNGUARDED for one in made.providers}
    return Rehearsed(replace(made, providers=facts), promised, dict(SETTINGS))


def small() -> Rehearsed:
    """Two servers, something on them, and a command that must run once."""
    up = servers("up", "upcloud", "a", "b", timeout=600.0)
    on_them = installs("svc", "upcloud", up[1], "redis", after=("up",), remove=True)
    return rehearsed(plan(SETTINGS, up, on_them, command("migrate", after=("svc",))))


def handled(semantics: int) -> Rehearsed:
    """A command that must run once, and another one that handles its failure."""
    op, steps = command("restore", idempotent=True)
    handler = replace(op, dependencies=(Dependency("migrate", DependencyKind.FAILED),)), steps
    made = rehearsed(plan(SETTINGS, command("migrate"), handler))
    return replace(made, plan=replace(made.plan, semantics=semantics))
