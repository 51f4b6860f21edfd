"""The roles that read a file: author, which changes one, and rehearser, which reads the report of a rehearsal."""

from __future__ import annotations

from collections import Counter
from shlex import join, quote, split

from batchwright.agents.roles.base import ActionRequest, AgentRole, RoleAnswer, Subject
from batchwright.agents.roles.payloads import DefinitionPatch, RehearsalSummary
from batchwright.agents.roles.run_roles import ASK_ONLY
from batchwright.agents.slices.definition_patch import DefinitionEdit, patch_slice
from batchwright.agents.slices.rehearsal_report import rehearsal_slice
from batchwright.agents.slices.run_source import ids, parsed
from batchwright.agents.slices.untrusted_text import name
from batchwright.views.rehearsal import RehearsalView
from batchwright.views.text_format import counted


def _author(source: DefinitionEdit, query: str, budget: int) -> RoleAnswer:
    parsed(query, ())
    told = patch_slice(source, budget)
    payload = DefinitionPatch(
        source.file,
        source.operation,
        source.added,
        source.patch,
        source.removed,
        dict(source.resized),
        source.service,
    )
    verb, changed = next(
        (verb, names)
        for verb, names in (
            ("Adds", source.added),
            ("Removes", source.removed),
            ("Resizes", tuple(source.resized)),
            ("Installs", (source.service,)),
        )
        if any(names)
    )
    number = "" if source.service else f"{counted(len(changed), 'server')}: "
    summary = f"{verb} {number}{ids(changed)}, in {name(source.operation)}."
    plan = ActionRequest("plan", f"batchwright plan {quote(source.file)}", reason="apply the patch")
    return RoleAnswer(source.file, summary, told, payload, (plan,))


def _rehearser(source: RehearsalView, query: str, budget: int) -> RoleAnswer:
    told = rehearsal_slice(source, query, budget)
    levels = Counter(one.level for one in source.findings)
    payload = RehearsalSummary(
        file=source.file,
        ok=source.ok,
        errors=levels["error"],
        warnings=levels["warning"],
        runs=source.coverage.runs,
        crashes=source.coverage.crashes,
        trusted=source.self_check.found,
    )
    found = f"{counted(levels['error'], 'error')} and {counted(levels['warning'], 'warning')}"
    trust = "" if payload.trusted else " Its planted bug was not found: do not trust it."
    summary = f"{counted(payload.runs, 'run')} with {payload.crashes} crashes found {found}.{trust}"
    repeats = [one.repeat for one in source.findings if is_rehearsal(one.repeat)]
    actions = tuple(ActionRequest("repeat", one) for one in repeats[:REPEATS_MOST])
    return RoleAnswer(source.file, summary, told, payload, actions)


def is_rehearsal(command: str) -> bool:
    """Whether it is nothing but a rehearsal: a report is a file that anybody may have written."""
    try:
        words = split(command)
    except ValueError:
        return False
    return words[:2] == ["batchwright", "rehearse"] and join(words) == command and command.isprintable()


REPEATS_MOST = 5
FILE_ROLES = (
    AgentRole(
        "author",
        "How is the file changed so that it does what is asked?",
        Subject.FILE,
        800,
        ("adds", "removes", "resizes", "installs", "checked"),
        f"Say what the patch changes and what to look at before it is applied. {ASK_ONLY}",
        _author,
        actions=("plan",),
    ),
    AgentRole(
        "rehearser",
        "What did the rehearsal of this file find?",
        Subject.REHEARSAL,
        600,
        ("error", "warning", "untrusted", "unexplored"),
        f"Say which finding to mend first and how, and what the rehearsal does not prove. {ASK_ONLY}",
        _rehearser,
        actions=("repeat",),
    ),
)
