"""A change of a workflow file, as an author gives it: what it does, and the lines of the patch."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from batchwright.agents.slices.base import Evidence, Fact, Slice
from batchwright.agents.slices.run_source import ids
from batchwright.agents.slices.token_budget import Section, fit
from batchwright.agents.slices.untrusted_text import fenced, name
from batchwright.views.text_format import counted


class DefinitionEdit(Struct, frozen=True):
    """One change of an operation of a file; `patch` is a unified diff.

    Either servers were `added` like one that is there, or `removed`, or `resized` to plans, or a `service` was put `on`
    a server or an operation. The edited file was loaded: it is valid, has `servers` servers, and differs in nothing
    else.
    """

    file: str
    operation: str
    added: tuple[str, ...] = ()
    like: str = ""
    zone: str = ""
    removed: tuple[str, ...] = ()
    resized: Mapping[str, str] = {}
    service: str = ""
    on: str = ""
    patch: str = ""
    servers: int = 0


def _does(source: DefinitionEdit) -> Fact:
    base, operation = name(source.file.rpartition("/")[2]), name(source.operation)
    if source.added:
        where = f" in zone {name(source.zone)}" if source.zone else ""
        text = f"adds to {operation} in {base}: {ids(source.added, 10)}, like {name(source.like)}{where}"
        return Fact("adds", text, count=len(source.added))
    if source.removed:
        text = f"removes from {operation} in {base}: {ids(source.removed, 10)}; a run destroys them with --retire only"
        return Fact("removes", text, count=len(source.removed))
    if source.resized:
        plans = ", ".join(f"{name(server)} to {name(plan)}" for server, plan in source.resized.items())
        return Fact("resizes", f"resizes in {operation} in {base}: {plans}", count=len(source.resized))
    return Fact("installs", f"installs {name(source.service)} on {name(source.on)} in {base}, in {operation}", count=1)


def patch_slice(source: DefinitionEdit, budget: int) -> Slice:
    """What an edit does. Raises UsageError for a budget that nothing fits in."""
    head = [
        _does(source),
        Fact(
            "checked",
            f"checked: the file is valid then, has {counted(source.servers, 'server')}, and nothing else changes",
        ),
    ]
    lines = [
        Fact("line", f"patch {fenced(line)}", (Evidence(0, "", number),))
        for number, line in enumerate(source.patch.splitlines(), 1)
        if line.startswith(("+", "-")) and not line.startswith(("+++", "---"))
    ]
    return fit(
        "patch", "", 0, budget, head, [Section("lines of the patch", "batchwright ask author FILE --json", lines)]
    )
