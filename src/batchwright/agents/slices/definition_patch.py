"""A change of a workflow file, as an author gives it: what it adds, and the lines of the patch."""

from __future__ import annotations

from msgspec import Struct

from batchwright.agents.slices.base import Evidence, Fact, Slice
from batchwright.agents.slices.run_source import ids
from batchwright.agents.slices.token_budget import Section, fit
from batchwright.agents.slices.untrusted_text import fenced, name
from batchwright.views.text_format import counted


class DefinitionEdit(Struct, frozen=True):
    """Servers `added` to an operation of a file, like one that is there; `patch` is a unified diff.

    The edited file was loaded: it is valid, has `servers` servers, and differs in nothing else.
    """

    file: str
    operation: str
    like: str
    zone: str
    added: tuple[str, ...]
    patch: str
    servers: int


def patch_slice(source: DefinitionEdit, budget: int) -> Slice:
    """What an edit adds. Raises UsageError for a budget that nothing fits in."""
    base = name(source.file.rpartition("/")[2])
    where = f" in zone {name(source.zone)}" if source.zone else ""
    added = f"adds to {name(source.operation)} in {base}: {ids(source.added, 10)}, like {name(source.like)}{where}"
    head = [
        Fact("adds", added, count=len(source.added)),
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
