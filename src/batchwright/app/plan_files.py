"""Use cases of plan files: write one, read one, and check that it still holds where it is to be run."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from batchwright import __version__, durable_files
from batchwright.app.adapters import Adapters
from batchwright.app.guardrails import guarded
from batchwright.app.multi_store import Stores
from batchwright.app.plan_file_prerequisites import AGAIN_HINT, preflight
from batchwright.app.planned import Planned
from batchwright.app.run_provenance import recorded_place
from batchwright.app.settings import Settings
from batchwright.engine.limits import Limits
from batchwright.errors import PlanChanged, PlanFileInvalid, UsageError
from batchwright.journal.base import Journal
from batchwright.journal.environment_state import EnvironmentState, environment_of_run, environment_state, runs_of
from batchwright.model.clock import Clock
from batchwright.model.diagnostic import Diagnostic, Severity, bounded
from batchwright.model.environment import EnvironmentKey, digest
from batchwright.model.plan import Plan
from batchwright.model.run_provenance import InputFile, RunInputs
from batchwright.plan.plan_file import MAGIC, MOST, PlanBasis, PlanFile, decode, encode, is_plan
from batchwright.plan.plan_soundness import plan_flaws, record_flaws
from batchwright.regular_files import contents
from batchwright.views.plan_staleness import resource_differences

_FIRST_LINE_MOST = 200


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
    except (OSError, ValueError):
        return False
    try:
        return is_plan(os.read(handle, len(MAGIC)))
    except OSError:  # a folder, or a pipe that is empty
        return False
    finally:
        os.close(handle)


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
    problems += [_problem(flaw) for flaw in await _foreign(journal, plan)]
    if not problems:
        problems = await preflight(settings, around, file.content.plan, file.folder)
    told = (*plan.warnings, *problems)
    refused = any(one.severity is Severity.ERROR for one in problems)
    planned = Planned(None if refused else plan, bounded(told), basis=file.content.basis)
    return await guarded(settings, around, planned, state.resources)


async def _foreign(journal: Journal, plan: Plan) -> list[str]:
    """Servers that are to be taken over although another environment of this store has the run that created them."""
    adopted = {step.id: step.adopts.run for step in plan.steps if step.adopts is not None}
    homes = {name: await environment_of_run(journal, run) for name, run in adopted.items()}
    own = (None, EnvironmentKey.of(plan))
    return [f"{name} takes a server from {home.name}" for name, home in homes.items() if home and home not in own]


async def _changed(journal: Journal, state: EnvironmentState, basis: PlanBasis) -> PlanChanged:
    suspects = [row.run for row in await runs_of(journal, state.key) if row.turn > basis.turn]
    lines = resource_differences(basis.resources, state.resources, suspects)
    found = tuple(Diagnostic(PlanChanged.code, line, where=state.key.name) for line in lines)
    message = f"the environment {state.key.name} is no longer what the plan was made for"
    return PlanChanged(message, hint=AGAIN_HINT, diagnostics=bounded(found))


def _problem(message: str) -> Diagnostic:
    return Diagnostic(PlanFileInvalid.code, message, PlanFileInvalid.hint)
