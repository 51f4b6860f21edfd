"""The role that writes: author."""

from __future__ import annotations

from shlex import quote

from batchwright.agents.roles.base import ActionRequest, AgentRole, RoleAnswer, Subject
from batchwright.agents.roles.payloads import DefinitionPatch
from batchwright.agents.roles.run_roles import ASK_ONLY
from batchwright.agents.slices.definition_patch import DefinitionEdit, patch_slice
from batchwright.agents.slices.run_source import ids, parsed
from batchwright.agents.slices.untrusted_text import name
from batchwright.views.text_format import counted


def _author(source: DefinitionEdit, query: str, budget: int) -> RoleAnswer:
    parsed(query, ())
    told = patch_slice(source, budget)
    payload = DefinitionPatch(source.file, source.operation, source.added, source.patch)
    summary = f"Adds {counted(len(source.added), 'server')} to {name(source.operation)}: {ids(source.added)}."
    plan = ActionRequest("plan", f"batchwright plan {quote(source.file)}", reason="apply the patch")
    return RoleAnswer(source.file, summary, told, payload, (plan,))


FILE_ROLES = (
    AgentRole(
        "author",
        "How is the file changed so that it does what is asked?",
        Subject.FILE,
        800,
        ("adds", "checked"),
        f"Say what the patch changes and what to look at before it is applied. {ASK_ONLY}",
        _author,
        actions=("plan",),
    ),
)
