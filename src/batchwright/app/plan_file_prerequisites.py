"""What a plan from a file needs here: its accounts, servers, programs, secrets, keys and catalogue entries."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec.structs import replace

from batchwright.app.adapters import Adapters
from batchwright.app.catalogue_changes import changed_entries
from batchwright.app.install_artifacts import source_problems
from batchwright.app.place_preflight import place_problems
from batchwright.app.settings import Settings
from batchwright.app.webhook_checks import webhook_problems
from batchwright.commands.preflight import secret_lack
from batchwright.errors import BatchwrightError, EntryChanged, PlanChanged
from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.fault import FaultClass
from batchwright.model.plan import Plan, ProviderFacts, Step
from batchwright.model.secret_reference import SecretReference
from batchwright.model.secret_traversal import mapped
from batchwright.operations.command import Command
from batchwright.operations.registry import type_of
from batchwright.operations.server_batch import ServerRequest
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.providers.base import Provider
from batchwright.taskservs.catalogue import load_catalogue
from batchwright.user_home import with_own_home

AGAIN_HINT = "Nothing was changed. Make the plan again and review it: batchwright plan FILE --out PLANFILE"
_ENTRY_HINT = "Name the folder that it was planned with: --catalogue DIR. Or make the plan again here."
_DIR_HINT = "Name the folder that the commands are relative to with --dir."
_STATES = {
    ServerState.GONE: "is no longer there",
    ServerState.NOT_VISIBLE: "is not shown by the provider",
    ServerState.STOPPING: "is being destroyed",
    ServerState.BROKEN: "is broken",
}


async def preflight(settings: Settings, around: Adapters, plan: Plan, folder: str) -> list[Diagnostic]:
    """What this machine, its catalogues and the providers' accounts lack for a plan; read-only.

    `folder` is what the folders of its commands are relative to.
    """
    await around.open([one.name for one in plan.providers], {type_of(step).port for step in plan.steps})
    asked = await asyncio.gather(*(_at_provider(around, plan, facts) for facts in plan.providers))
    problems = [one for found in asked for one in found]
    problems += await _of_commands(around, plan, folder)
    problems += await place_problems(plan, around)
    if plan.notify:
        problems += webhook_problems(plan.notify, settings, simulated=plan.simulation is not None)
    if plan.simulation is None:
        problems += _of_secrets(plan, around, os.environ)
        changed = changed_entries(plan.steps, settings.catalogues)
        problems += [Diagnostic(EntryChanged.code, one, _ENTRY_HINT) for one in changed]
    if any(isinstance(step.request, TaskservRequest) and step.request.sources for step in plan.steps):
        problems += source_problems(plan.steps, load_catalogue(settings.catalogues), folder)
    return problems


async def _at_provider(around: Adapters, plan: Plan, facts: ProviderFacts) -> list[Diagnostic]:
    if (trouble := around.troubles.get(facts.name)) is not None:
        return [Diagnostic.of_error(trouble, facts.name)]
    provider = around.readers[facts.name]
    try:
        async with asyncio.timeout(provider.capabilities.call_timeout * 2):
            return await _asked(provider, plan, facts)
    except TimeoutError:
        return [Diagnostic("provider-unreachable", f"{facts.name} did not answer in time", where=facts.name)]
    except BatchwrightError as error:
        return [Diagnostic.of_error(error, facts.name)]


async def _asked(provider: Provider, plan: Plan, facts: ProviderFacts) -> list[Diagnostic]:
    name, account = facts.name, await provider.account()
    if account != facts.account:
        message = f"{name} is the account {account} here, and the plan is for the account {facts.account}"
        return [Diagnostic("account-changed", message, "Use the credentials of the plan's account.", where=name)]
    health = await provider.health()
    if not health.ok:
        return [Diagnostic("provider-unhealthy", health.message, "Check the credentials and the network.", where=name)]
    problems = []
    if provider.capabilities.facts(name, account) != facts:
        message = f"{name} has other settings here than where the plan was made"
        hint = "Compare its table in config.toml and the versions of Batchwright, or make the plan here."
        problems.append(Diagnostic("provider-changed", message, hint, where=name))
    own = [(step, step.request) for step in plan.steps if isinstance(step.request, ServerRequest)]
    own = [(step, request) for step, request in own if step.provider == name and not step.traits.removes]
    made = [request for step, request in own if step.traits.sweeps]
    going_on = {op.id for op in plan.operations if FaultClass.QUOTA in op.otherwise_on}
    staying = [request for step, request in own if step.traits.sweeps and step.operation not in going_on]
    problems += [replace(one, where=name) for one in await provider.quota_after(staying)]
    problems += [one for request in made if not facts.at for one in _missing_keys(request)]
    found = {step.ref: (step, request) for step, request in own if step.ref}
    seen = await provider.describe(list(found)) if found else {}
    told = {ref: _difference(*found[ref], one) for ref, one in seen.items()}
    problems += [
        Diagnostic(PlanChanged.code, f"the server {found[ref][1].name} ({ref}) {words}", AGAIN_HINT, where=name)
        for ref, words in told.items()
        if words
    ]
    return problems


def _difference(step: Step, request: ServerRequest, seen: Observed) -> str:
    """How a server is not what the plan was made for; "" if it is."""
    if seen.state in _STATES:
        return _STATES[seen.state]
    if seen.name not in ("", request.name):
        return f"is named {seen.name}"
    if step.adopts is not None and (seen.run, seen.token) != (step.adopts.run, step.adopts.token):
        return f"is run {seen.run}'s now" if seen.run else "carries no labels of a run"
    return ""


def _missing_keys(request: ServerRequest) -> list[Diagnostic]:
    """Private keys of servers that exist already."""
    hops = with_own_home(request.access).hops() if request.access is not None else []
    missing = [hop.key for hop in hops if hop.key and not Path(hop.key).is_file()]
    return [Diagnostic("key-missing", f"there is no private key {key}", where=request.name) for key in missing]


async def _of_commands(around: Adapters, plan: Plan, folder: str) -> list[Diagnostic]:
    """Programs, folders and secrets of commands and of checks that run one; an operation's steps all run the same."""
    placed = zip(plan.steps, around.places_of(plan.steps), strict=True)
    first = {step.operation: (step, at) for step, at in placed if type_of(step).program(step) is not None}
    wanted = [(step, at) for step, at in first.values() if not step.traits.removes]
    if not wanted:
        return []
    around.open_programs()
    problems: list[Diagnostic] = []
    for step, at in wanted:
        command = _command(step)
        answer = await around.launcher_of(command, at).resolve(command, folder)
        if isinstance(answer, list):
            problems += [replace(one, where=step.operation, hint=_hint(one, command)) for one in answer]
    return problems


def _command(step: Step) -> Command:
    """The command that such a step runs."""
    request, targets = type_of(step).program(step), (step.server,) if step.server else None
    folder = request.directory or None
    return Command(
        step.operation, request.run, request.undo, request.env, folder, targets, request.idempotent, at=request.at
    )


def _hint(one: Diagnostic, command: Command) -> str:
    relative = command.directory is not None and not command.directory.startswith("/")
    return _DIR_HINT if relative and one.field in ("directory", "run", "undo") else one.hint


def _of_secrets(plan: Plan, around: Adapters, environ: Mapping[str, str]) -> Iterator[Diagnostic]:
    """Secrets that this machine does not have; those of commands are checked with the rest that these need."""
    named: dict[str, tuple[str, SecretReference]] = {}

    for step, place in zip(plan.steps, around.places_of(plan.steps), strict=True):
        if type_of(step).program(step) is not None or step.provider == "simulated" or place:
            continue

        def note(_: object, secret: SecretReference, owner: str = step.operation) -> SecretReference:
            named.setdefault(str(secret), (owner, secret))
            return secret

        mapped(step.request, note)
    for words, (owner, secret) in named.items():
        if why := secret_lack(secret, environ):
            yield Diagnostic("secret-missing", f"{words} is missing: {why}", where=owner)
