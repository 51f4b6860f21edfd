"""Use cases of plan files: write one, read one, and check that it still holds where it is to be run."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from batchwright import __version__, durable_files
from batchwright.app.adapters import Adapters
from batchwright.app.entry_digests import changed_entries
from batchwright.app.environments import EnvironmentState, environment_state, runs_of
from batchwright.app.multi_store import Stores
from batchwright.app.planned import Planned
from batchwright.app.recorded_inputs import recorded_place
from batchwright.app.settings import Settings
from batchwright.commands.preflight import secret_lack
from batchwright.engine.limits import Limits
from batchwright.errors import BatchwrightError, EntryChanged, PlanChanged, PlanFileInvalid, UsageError
from batchwright.journal.base import Journal
from batchwright.model.call_outcome import ServerState
from batchwright.model.clock import Clock
from batchwright.model.diagnostic import Diagnostic, Severity, bounded
from batchwright.model.environment import EnvironmentKey, digest
from batchwright.model.plan import Plan, ProviderFacts, Step
from batchwright.model.run_inputs import InputFile, RunInputs
from batchwright.model.secret_reference import SecretReference
from batchwright.model.secret_traversal import mapped
from batchwright.operations.command import Command, CommandRequest
from batchwright.operations.registry import type_of
from batchwright.operations.server_batch import ServerRequest
from batchwright.plan.plan_file import MAGIC, MOST, PlanBasis, PlanFile, decode, encode
from batchwright.plan.plan_flaws import plan_flaws, record_flaws
from batchwright.providers.base import Provider
from batchwright.regular_files import contents
from batchwright.user_home import with_own_home
from batchwright.views.resource_difference import resource_differences

_FIRST_LINE_MOST = 200
_STATES = {
    ServerState.GONE: "is no longer there",
    ServerState.NOT_VISIBLE: "is not shown by the provider",
    ServerState.STOPPING: "is being destroyed",
    ServerState.BROKEN: "is broken",
}
_AGAIN = "Nothing was changed. Make the plan again and review it: batchwright plan FILE --out PLANFILE"
_ENTRY_HINT = "Name the folder that it was planned with: --catalogue DIR. Or make the plan again here."
_DIR_HINT = "Name the folder that the commands are relative to with --dir."


class OpenedPlanFile(Struct, frozen=True):
    """A plan file that was read; `folder` is what its commands' folders are relative to."""

    path: Path
    digest: str
    content: PlanFile
    folder: str

    @property
    def inputs(self) -> RunInputs:
        """The inputs of a run of it: those of the plan, in this folder."""
        here = recorded_place()
        own = InputFile(str(self.path), self.digest)
        return replace(self.content.basis.inputs, folder=self.folder, started=here.started, plan_file=own)


def is_plan_file(path: Path) -> bool:
    """Whether the file begins as plan files do, whatever its name. One that cannot be read is none."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        with os.fdopen(handle, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except (OSError, ValueError):
        return False


def write_plan_file(path: Path, plan: Plan, basis: PlanBasis, now: float) -> None:
    """Write it for its owner only, as a whole or not at all. Raises UsageError, PlanFileInvalid.

    A file that is no plan file is not replaced: it may be the workflow.
    """
    if path.exists() and not is_plan_file(path):
        raise UsageError(f"--out {path}: there is a file that is not a plan", hint="Give another name.")
    body = encode(PlanFile(plan, basis, now, __version__))
    try:
        durable_files.write(path, body)
    except OSError as error:
        raise UsageError(f"--out {path}: {error.strerror or error}", hint="Give another name.") from error


def read_plan_file(path: Path, folder: Path | None = None) -> OpenedPlanFile:
    """Read it; the folders of commands are relative to `folder`, else to that of the file. Raises PlanFileInvalid."""
    try:
        body = contents(path, MOST + _FIRST_LINE_MOST)
    except OSError as error:
        raise PlanFileInvalid(f"cannot read {path}: {error.strerror or error}", hint="") from error
    file = decode(body)
    if flaws := plan_flaws(file.plan):
        found = tuple(Diagnostic("plan-file-invalid", one, where=str(path)) for one in flaws)
        raise PlanFileInvalid(f"{path} holds a plan that no planner makes", diagnostics=bounded(found))
    place = os.path.abspath(folder or path.parent)  # noqa: PTH100 - links stay as they are named
    return OpenedPlanFile(path, hashlib.sha256(body).hexdigest(), file, place)


async def look_at_plan_file(settings: Settings, clock: Clock, file: OpenedPlanFile) -> Planned:
    """The same as `check_plan_file`, for a look."""
    simulation = file.content.plan.simulation
    async with Stores(settings) as stores, Adapters(settings, clock, Limits(), simulation) as around:
        return await check_plan_file(settings, stores, around, file)


async def check_plan_file(settings: Settings, stores: Stores, around: Adapters, file: OpenedPlanFile) -> Planned:
    """Whether its plan holds here and now; read-only. What it needs is opened in `around`, which may carry it out.

    Raises PlanChanged if the environment is no longer what the plan was made for, with each difference, and
    EnvironmentRefused, StoreError.
    """
    plan = file.content.plan
    journal = await stores.get(stores.name_of(plan.storage_backend))
    state = await environment_state(journal, EnvironmentKey.of(plan))
    if digest(state.resources) != plan.base:
        raise await _changed(journal, state, file.content.basis)
    problems = [_problem(flaw) for flaw in record_flaws(plan, state.resources)]
    if not problems:
        problems = await _preflight(settings, around, file)
    told = (*plan.warnings, *problems)
    refused = any(one.severity is Severity.ERROR for one in problems)
    return Planned(None if refused else plan, bounded(told), basis=file.content.basis)


async def _changed(journal: Journal, state: EnvironmentState, basis: PlanBasis) -> PlanChanged:
    suspects = [row.run for row in await runs_of(journal, state.key) if row.turn > basis.turn]
    lines = resource_differences(basis.resources, state.resources, suspects)
    found = tuple(Diagnostic(PlanChanged.code, line, where=state.key.name) for line in lines)
    message = f"the environment {state.key.name} is no longer what the plan was made for"
    return PlanChanged(message, hint=_AGAIN, diagnostics=bounded(found))


def _problem(message: str) -> Diagnostic:
    return Diagnostic(PlanFileInvalid.code, message, PlanFileInvalid.hint)


async def _preflight(settings: Settings, around: Adapters, file: OpenedPlanFile) -> list[Diagnostic]:
    """What this machine, its catalogues and the providers' accounts lack."""
    plan = file.content.plan
    await around.open([one.name for one in plan.providers], {type_of(step).port for step in plan.steps})
    asked = await asyncio.gather(*(_at_provider(around, plan, facts) for facts in plan.providers))
    problems = [one for found in asked for one in found]
    problems += await _of_commands(around, plan, file.folder)
    if plan.simulation is None:
        problems += _of_secrets(plan, os.environ)
        changed = changed_entries(plan.steps, settings.catalogues)
        problems += [Diagnostic(EntryChanged.code, one, _ENTRY_HINT) for one in changed]
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
    problems += [replace(one, where=name) for one in await provider.quota_after(made)]
    problems += [one for request in made for one in _missing_keys(request)]
    found = {step.ref: request.name for step, request in own if step.ref}
    seen = await provider.describe(list(found)) if found else {}
    states = {ref: _STATES[one.state] for ref, one in seen.items() if one.state in _STATES}
    problems += [
        Diagnostic(PlanChanged.code, f"the server {found[ref]} ({ref}) {words}", _AGAIN, where=name)
        for ref, words in states.items()
    ]
    return problems


def _missing_keys(request: ServerRequest) -> list[Diagnostic]:
    """Private keys of servers that exist already."""
    hops = with_own_home(request.access).hops() if request.access is not None else []
    missing = [hop.key for hop in hops if hop.key and not Path(hop.key).is_file()]
    return [Diagnostic("key-missing", f"there is no private key {key}", where=request.name) for key in missing]


async def _of_commands(around: Adapters, plan: Plan, folder: str) -> list[Diagnostic]:
    """Programs, folders and secrets of commands; an operation's steps all run the same."""
    first = {step.operation: step for step in plan.steps if isinstance(step.request, CommandRequest)}
    wanted = [step for step in first.values() if not step.traits.removes]
    if not wanted:
        return []
    around.open_programs()
    problems: list[Diagnostic] = []
    for step in wanted:
        command = _command(step)
        answer = await around.launcher_of(command).resolve(command, folder)
        if isinstance(answer, list):
            problems += [replace(one, where=step.operation, hint=_hint(one, command)) for one in answer]
    return problems


def _command(step: Step) -> Command:
    """The operation that such a step is planned for."""
    request, targets = step.request, (step.server,) if step.server else None
    assert isinstance(request, CommandRequest)
    folder = request.directory or None
    return Command(step.operation, request.run, request.undo, request.env, folder, targets, request.idempotent)


def _hint(one: Diagnostic, command: Command) -> str:
    relative = command.directory is not None and not command.directory.startswith("/")
    return _DIR_HINT if relative and one.field in ("directory", "run", "undo") else one.hint


def _of_secrets(plan: Plan, environ: Mapping[str, str]) -> Iterator[Diagnostic]:
    """Secrets that this machine does not have; those of commands are checked with the rest that these need."""
    named: dict[str, tuple[str, SecretReference]] = {}

    for step in plan.steps:
        if isinstance(step.request, CommandRequest) or step.provider == "simulated":
            continue

        def note(_: object, secret: SecretReference, owner: str = step.operation) -> SecretReference:
            named.setdefault(str(secret), (owner, secret))
            return secret

        mapped(step.request, note)
    for words, (owner, secret) in named.items():
        if why := secret_lack(secret, environ):
            yield Diagnostic("secret-missing", f"{words} is missing: {why}", where=owner)
