"""What a change would do: a workflow file that is run, or an action on a run; only `apply` changes something."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from batchwright.agents.slices.definition_patch import patch_slice
from batchwright.agents.slices.token_budget import LARGER, LEAST_BUDGET, MOST_BUDGET
from batchwright.agents.slices.token_estimate import estimated_tokens
from batchwright.agents.slices.untrusted_text import cleaned
from batchwright.app.definition_edit import DefinitionChange, edit_definition
from batchwright.app.plans import make_plan
from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from batchwright.app.workflow_source import Source
from batchwright.client.agent_queries import read_slice
from batchwright.client.base import Client
from batchwright.client.http import HttpClient
from batchwright.client.local import LocalClient
from batchwright.errors import NotAllowed, PlanRefused, UsageError
from batchwright.mcp.tools import WORKFLOW_MOST
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.scalar import SimulationSettings
from batchwright.providers.base import Quote
from batchwright.regular_files import contents
from batchwright.views.plan import PlanView, plan_view
from batchwright.views.proposal import ProposalView, plan_lines, undo_lines
from batchwright.views.text_format import counted

MEDIA = {".ncl": "text/x-nickel", ".json": "application/json", ".yaml": "application/yaml", ".yml": "application/yaml"}
PLAN_TOKENS, NEXT_TOKENS = 800, 30
CLOSED = "</data>"
NEEDS_SERVICE = "Start a service: batchwright serve. It keeps what was approved, and by whom."


class ChangePlanner:
    """Plans for one server of tools. `folder` is where files may be, None if the client's files are not here; then
    there need be no `settings`.

    `proposes`: what is planned is recorded as a proposal, so that a person can approve it.
    """

    def __init__(
        self,
        folder: Path | None,
        settings: Settings | None = None,
        simulation: SimulationSettings | None = None,
        *,
        proposes: bool = False,
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._simulation = simulation
        self._proposes = proposes

    def plan(self, client: Client, given: Mapping[str, Any]) -> str:
        """What a change would do, in lines, within a budget.

        Raises UsageError, PlanRefused, NotAllowed, and as Client's methods.
        """
        return within(self._plan(client, given), given.get("budget") or PLAN_TOKENS)

    def _plan(self, client: Client, given: Mapping[str, Any]) -> str:
        action = given["action"]
        if action == "run":
            return self._workflow(client, given)
        if isinstance(client, HttpClient) and self._proposes:
            return _proposed(client.proposals.propose_action(given.get("run") or "latest", action))
        word = client.run(given.get("run") or "latest", destroys=action == "rollback").run
        if action == "rollback":
            lines = undo_lines((one.what, one.step) for one in client.rollback_preview(word))
            return _told("would", lines, f"next: batchwright rollback {word}")
        return read_slice(client, "recovery", word).text

    def apply(self, client: Client, digest: str) -> str:
        """Carry out an approved proposal. Raises ProposalNotFound, ProposalUnapproved, PlanChanged, RunChanged."""
        if not isinstance(client, HttpClient):
            raise NotAllowed("only a service carries out what was approved", hint=NEEDS_SERVICE)
        view = client.proposals.apply(digest)
        return f"carried out {cleaned(digest, 20)}: run {view.run} is {view.status}\nnext: status run={view.run}\n"

    def _workflow(self, client: Client, given: Mapping[str, Any]) -> str:
        file, text = given.get("file", ""), given.get("text", "")
        if bool(file) == bool(text):
            raise UsageError("plan_change needs a file or a text", hint="Give one of the two.")
        path = self._allowed(file) if file else None
        if given.get("like"):
            return self._more_servers(path, given)
        if isinstance(client, HttpClient):
            return self._at_service(client, path, text)
        assert isinstance(client, LocalClient)
        if path is None:
            raise UsageError("without a service a workflow is planned from its file", hint="Give file.")
        planned = asyncio.run(make_plan(client.settings, SystemClock(), Source(path), self._simulation))
        if planned.plan is None:
            raise planned.refusal()
        return _planned(plan_view(planned.plan), planned.quotes, planned.diagnostics, f"batchwright run {file}")

    def _more_servers(self, path: Path | None, given: Mapping[str, Any]) -> str:
        """The edit that adds servers to a file, which stays as it is."""
        if path is None or self._settings is None:
            raise UsageError("like needs a file", hint="Give file.")
        change = DefinitionChange(given["like"], given.get("count", 1), given.get("zone", ""))
        edit = edit_definition(self._settings, Source(path), change)
        budget = max(LEAST_BUDGET, (given.get("budget") or PLAN_TOKENS) - NEXT_TOKENS)
        return patch_slice(edit, budget).text + "next: edit the file so, then plan_change it without like\n"

    def _at_service(self, client: HttpClient, path: Path | None, text: str) -> str:
        body = _read(path) if path is not None else text
        media = MEDIA[path.suffix if path is not None else ".json" if _is_json(text) else ".ncl"]
        if self._proposes:
            return _proposed(client.proposals.propose_workflow(body, media, self._simulation))
        answer = client.proposals.plan_workflow(body, media, self._simulation)
        if answer.plan is None:
            raise PlanRefused("there is no plan", diagnostics=answer.diagnostics)
        return _planned(answer.plan, answer.quotes, answer.diagnostics, "batchwright submit FILE")

    def _allowed(self, name: str) -> Path:
        """The file, if it is a workflow in the folder of this server. Raises UsageError."""
        if self._folder is None:
            raise UsageError("a service has no files of yours", hint="Send the workflow as text.")
        path = Path(os.path.realpath(self._folder / name))
        if not path.is_relative_to(os.path.realpath(self._folder)):
            raise UsageError(f"{name} is not in the folder of this server", hint=f"It reads {self._folder} only.")
        if path.suffix not in MEDIA:
            raise UsageError(f"{name} is no workflow file", hint=f"They end with {', '.join(MEDIA)}.")
        return path


def within(text: str, budget: int) -> str:
    """The text with as many of its lines as fit, the first and the last ones, and how many were left out.

    Raises UsageError for a budget that nothing fits in.
    """
    if not LEAST_BUDGET <= budget <= MOST_BUDGET:
        raise UsageError(f"a budget of {budget} tokens", hint=f"Give one from {LEAST_BUDGET} to {MOST_BUDGET:,}.")
    lines, left = text.splitlines(), 0
    end = lines.index(CLOSED) if CLOSED in lines else len(lines)
    while estimated_tokens(text) > budget and end > 2:
        end, left = end - 1, left + 1
        del lines[end]
        told = [*lines[:end], *lines[end : end + 1], f"omitted {counted(left, 'line')}: {LARGER}", *lines[end + 1 :]]
        text = "\n".join(told) + "\n"
    return text


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except msgspec.MsgspecError:
        return False
    return True


def _read(path: Path) -> str:
    try:
        return contents(path, WORKFLOW_MOST).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name} cannot be read: {error}", hint="Name a workflow file.") from error


def _planned(view: PlanView, quotes: Mapping[str, Quote], diagnostics: Sequence[Diagnostic], command: str) -> str:
    warnings = [f"warning: {one.message}" for one in diagnostics if one.severity is Severity.WARNING]
    next_line = f"next: {command} --plan-hash {view.hash}"
    return _told(f"plan {view.hash}: nothing was changed; it would", (*plan_lines(view, quotes), *warnings), next_line)


def _proposed(one: ProposalView) -> str:
    ways = {
        "open": f"next: a person with the role operator types: batchwright proposals approve {one.hash}",
        "approved": f"next: apply hash={one.hash}",
    }
    title = f"proposal {one.hash}: {one.state}, destroys {counted(one.destroys, 'server')}; it would"
    return _told(title, one.lines, ways.get(one.state, "next: propose another change"))


def _told(title: str, lines: Sequence[str], last: str) -> str:
    """The lines as data: names in them are the file's."""
    body = "\n".join(cleaned(line).replace("&gt;", ">") for line in lines)  # alone it closes nothing
    return f"{title}\n<data>\n{body}\n{CLOSED}\n{cleaned(last)}\n"
