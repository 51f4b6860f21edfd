"""Use cases before anything is changed: check a file and make its plan."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from batchwright.app.adapters import Adapters
from batchwright.app.borrowed_servers import ended_by_plan, refuse_borrowed, stopped_by
from batchwright.app.diagnostic_positions import placed, static_findings
from batchwright.app.guardrails import guarded
from batchwright.app.install_artifacts import observe_sources, with_sources
from batchwright.app.multi_store import Stores
from batchwright.app.place_preflight import place_problems
from batchwright.app.plan_files import is_plan_file
from batchwright.app.planned import Planned
from batchwright.app.preflight import (
    ServerReach,
    observe,
    observe_commands,
    observe_identity,
    observe_secrets,
    quota_beside,
)
from batchwright.app.recorded_servers import RecordedServers
from batchwright.app.run_provenance import recorded_inputs
from batchwright.app.settings import Settings
from batchwright.app.webhook_checks import observe_webhooks
from batchwright.app.workflow_source import Source
from batchwright.engine.limits import Limits
from batchwright.errors import (
    EnvironmentBusy,
    EnvironmentElsewhere,
    EnvironmentRefused,
    PlanChanged,
    SecretMissing,
    StoreError,
    UsageError,
)
from batchwright.journal.environment_state import (
    EnvironmentState,
    environment_key,
    environment_of_run,
    environment_state,
)
from batchwright.loader import LOCAL, Loaded, LoaderLimits, Path_, SourceLocation, load, locate
from batchwright.model.clock import Clock
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.did_you_mean import close_matches
from batchwright.model.environment import EnvironmentKey, digest, unsettled_by
from batchwright.model.plan import Plan
from batchwright.model.scalar import SimulationSettings
from batchwright.model.taskserv import LazyCatalogue, Taskserv
from batchwright.model.templates import literal
from batchwright.model.workflow import ALL, Permission, Workflow
from batchwright.operations.base import PortKind
from batchwright.operations.observations import Observations
from batchwright.operations.registry import type_of
from batchwright.operations.suggestions import did_you_mean
from batchwright.plan.build import PlanResult, build, wanted_installs
from batchwright.plan.plan_file import PlanBasis
from batchwright.providers import registry
from batchwright.taskservs.catalogue import load_catalogue
from batchwright.views.definition import digest as definition_digest

MANY = 500  # servers, from which on a plan is made beside the event loop


def check(source: Source, settings: Settings, limits: LoaderLimits = LOCAL) -> Loaded:
    """Check a workflow file; no provider is contacted. Raises UsageError for a plan file."""
    if is_plan_file(source.file):
        raise UsageError(f"{source.file} is a plan, not a workflow", hint=f"Apply it: batchwright run {source.file}")
    catalogue = _catalogue(settings)
    loaded = load(
        source.file,
        overlays=source.overlays,
        inputs=source.inputs,
        limits=limits,
        providers=registry.contracts(),
        catalogue=catalogue,
        judge=partial(static_findings, catalogue=catalogue),
    )
    if loaded.workflow is None:
        return loaded
    workflow = loaded.workflow
    if source.environment:
        workflow = replace(workflow, environment=source.environment)
    if source.retire:
        workflow = replace(workflow, changes=replace(workflow.changes, retire=Permission.REQUESTED))
    if ALL in source.replace:
        workflow = replace(workflow, changes=replace(workflow.changes, replace=Permission.ALLOWED))
    elif source.replace:
        _refuse_unknown_servers(workflow, "--replace", source.replace)
        workflow = replace(workflow, changes=replace(workflow.changes, replace_servers=source.replace))
    if source.reinstall:
        workflow = replace(workflow, changes=replace(workflow.changes, reinstall=source.reinstall))
    if source.adopt:
        _refuse_unknown_servers(workflow, "--adopt", source.adopt)
        workflow = replace(workflow, changes=replace(workflow.changes, adopt=source.adopt))
    if source.other_account:
        workflow = replace(workflow, changes=replace(workflow.changes, other_account=True))
    return replace(loaded, workflow=workflow, catalogue=catalogue)


def _catalogue(settings: Settings) -> Mapping[str, Taskserv]:
    """Read at once where the user has named folders, which may be wrong; else when something is installed."""
    return load_catalogue(settings.catalogues) if settings.catalogues else LazyCatalogue(load_catalogue)


def _refuse_unknown_servers(workflow: Workflow, option: str, names: Sequence[str]) -> None:
    known = sorted({config.name for op in workflow.operations for config in type_of(op).wants(op).servers})
    for name in names:
        if name not in known:
            raise UsageError(f"{option} {name}: the file has no server of this name", hint=did_you_mean(name, known))


def anchored(loaded: Loaded, folder: Path) -> Workflow:
    """A valid workflow for a reader that does not know its folder: with absolute paths for what is relative to it."""
    workflow, catalogue = loaded.workflow, loaded.catalogue
    assert workflow is not None
    assert catalogue is not None

    def whole(name: str) -> str:
        return os.path.abspath(folder / name)  # noqa: PTH100 - links stay as they are named

    workflow = with_sources(workflow, catalogue, whole)
    operations = tuple(op.anchored(whole) for op in workflow.operations)
    return replace(workflow, operations=operations)


async def make_plan(
    settings: Settings, clock: Clock, source: Source, simulation: SimulationSettings | None = None
) -> Planned:
    """Check the file, query the providers, and plan; read-only."""
    async with Stores(settings) as stores, Adapters(settings, clock, Limits(), simulation) as around:
        return await plan_source(settings, stores, around, source, check(source, settings), simulation)


async def plan_source(
    settings: Settings,
    stores: Stores,
    around: Adapters,
    source: Source,
    loaded: Loaded,
    simulation: SimulationSettings | None = None,
) -> Planned:
    """Query the providers for a file that was checked, and plan; read-only."""
    planned = await plan_loaded(settings, stores, around, loaded, simulation, str(source.file.parent))
    if planned.plan is not None:
        files = (source.file, *source.overlays)
        inputs = await asyncio.to_thread(recorded_inputs, files, source.inputs, settings.catalogues, os.environ)
        assert loaded.workflow is not None
        basis = replace(planned.basis, inputs=inputs, workflow=definition_digest(loaded.workflow))
        planned = replace(planned, basis=basis)
    if not planned.diagnostics:
        return planned

    async def find(paths: Sequence[Path_]) -> Sequence[SourceLocation]:
        contracts, overlays, inputs = registry.contracts(), source.overlays, source.inputs
        looked = partial(locate, source.file, paths, overlays=overlays, inputs=inputs, providers=contracts)
        return await asyncio.to_thread(looked)

    return await placed(planned, loaded.workflow, find)


async def plan_loaded(
    settings: Settings,
    stores: Stores,
    around: Adapters,
    loaded: Loaded,
    simulation: SimulationSettings | None = None,
    folder: str = "",
    principal: str = "",
) -> Planned:
    """Query the providers for a workflow that was checked, and plan; read-only.

    `principal` is who asks, as Principal.id. `folder` is that of the file, which the folders of commands are relative
    to. The providers are opened in `around`, which may carry the plan out too.
    """
    if loaded.workflow is None:
        return Planned(None, loaded.diagnostics, is_valid=False)
    catalogue = loaded.catalogue if loaded.catalogue is not None else _catalogue(settings)
    loaded = replace(loaded, workflow=literal(loaded.workflow), catalogue=catalogue)
    assert loaded.workflow is not None
    refuse_unknown_providers(loaded.workflow, simulation or {})
    # before anything is looked at: what changes from here on makes the plan one of something else
    state, busy = await _state(stores, loaded.workflow, simulated=simulation is not None)
    resources = state.resources
    if any(one.severity is Severity.ERROR for one in busy):
        return Planned(None, tuple(busy))
    others = {one.provider for one in resources if not one.server and one.provider and not one.borrowed}
    others |= {left.provider for one in resources for left in one.leftovers}
    names = sorted({*_server_providers(loaded.workflow), *others})
    await around.open(names, {type_of(op).port for op in loaded.workflow.operations})
    wanted = wanted_installs(loaded.workflow, catalogue)
    reach = None if simulation is not None else await _reach(stores, loaded.workflow, around)
    now = around.clock.now()
    observations = await observe(loaded.workflow, around.readers, around.runners, resources, now, wanted, reach)
    observations = await observe_commands(loaded.workflow, observations, around, folder)
    if any(type_of(op).port is PortKind.RUNNER for op in loaded.workflow.operations):
        beside = os.path.abspath(folder) if folder else ""  # noqa: PTH100 - links stay as they are named
        observations = await observe_sources(loaded.workflow, observations, catalogue, beside)
    key = environment_key(loaded.workflow, simulated=simulation is not None)
    observations = await _with_makers(stores, loaded.workflow, observations, key)
    if busy:  # until a run has ended its turn, or has settled its calls, what it has created is in no resource yet
        changing = state.row.tenant if state.row is not None else ""
        observations = replace(observations, orphans=frozenset(), changing=changing)
    if simulation is None:
        observations = await observe_identity(observations, around)
        observations = observe_secrets(loaded.workflow, observations, around, os.environ)
    if loaded.workflow.notify:
        observations = observe_webhooks(loaded.workflow, observations, settings, simulated=simulation is not None)
    made = partial(_build, loaded, observations, around, simulation)
    # a large one takes long, and other clients of this process must not wait for it
    built = await asyncio.to_thread(made) if _servers(loaded.workflow) > MANY else made()
    if built.plan is None:
        return Planned(None, built.diagnostics)
    problems = await quota_beside(built.plan, around.readers, built.diagnostics)
    if any(around.places_of(built.plan.steps)):
        problems += await place_problems(built.plan, around)
    problems += await _store_trouble(stores, built.plan.storage_backend)
    if any(one.severity is Severity.ERROR for one in problems):
        return Planned(None, (*built.diagnostics, *problems))
    unknown = await _unknown_name(stores, loaded.workflow, key)
    shared = await _borrowed(stores, built.plan, key)
    planned = Planned(built.plan, (*built.diagnostics, *problems, *busy, *unknown, *shared))
    planned = await guarded(settings, around, planned, resources, loaded.workflow.limits, principal)
    return replace(planned, basis=PlanBasis(resources=resources, turn=state.turn))


async def _reach(stores: Stores, workflow: Workflow, around: Adapters) -> ServerReach | None:
    """How to log in to servers that exist; None if the store cannot be opened, which the plan tells."""
    try:
        journal = await stores.get(stores.name_of(workflow.storage_backend))
    except (StoreError, SecretMissing):
        return None
    return ServerReach(RecordedServers(journal), around.key_file)


def _servers(workflow: Workflow) -> int:
    return sum(len(type_of(op).wants(op).servers) for op in workflow.operations)


def refuse_unknown_providers(workflow: Workflow, simulation: SimulationSettings) -> None:
    """Raise UsageError for a setting such as `gcp.rate` of a provider that the workflow does not use."""
    known = sorted({name for op in workflow.operations for name in type_of(op).providers(op)})
    for key in simulation:
        owner = key.rpartition(".")[0]
        if owner and owner not in known:
            near = close_matches(owner, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"It uses: {', '.join(known)}."
            raise UsageError(f"simulation: {key}: the workflow does not use the provider {owner}", hint=hint)


def _server_providers(workflow: Workflow) -> Sequence[str]:
    batches = (op for op in workflow.operations if type_of(op).port is PortKind.PROVIDER)
    return sorted({name for op in batches for name in type_of(op).providers(op)})


def _build(
    loaded: Loaded,
    observations: Observations,
    around: Adapters,
    simulation: Mapping[str, object] | None,
) -> PlanResult:
    assert loaded.workflow is not None
    assert loaded.catalogue is not None
    # others matter only if something is retired there
    named = {name for op in loaded.workflow.operations for name in type_of(op).providers(op)}
    missing = tuple(Diagnostic.of_error(error, name) for name, error in around.troubles.items() if name in named)
    return build(
        loaded.workflow,
        loaded.catalogue,
        replace(observations, problems=(*observations.problems, *missing), install_seconds=around.install_seconds),
        warnings=loaded.diagnostics,
        simulation=dict(simulation) if simulation is not None else None,  # type: ignore[arg-type]
        base=digest(observations.resources),
        retire=loaded.workflow.changes.retire,
    )


async def _state(stores: Stores, workflow: Workflow, *, simulated: bool) -> tuple[EnvironmentState, list[Diagnostic]]:
    """The environment, and a warning while a run is changing it or has still to settle a call.

    A store that cannot be opened is told with the other problems of the plan.
    """
    key = environment_key(workflow, simulated=simulated)
    unknown = EnvironmentState(key, None)
    try:
        journal = await stores.get(stores.name_of(workflow.storage_backend))
        state = await environment_state(journal, key)
    except EnvironmentBusy as busy:
        return unknown, [_warning(busy)]
    except EnvironmentElsewhere as elsewhere:
        return unknown, [Diagnostic.of_error(elsewhere, "storage_backend")]
    except (StoreError, SecretMissing):
        return unknown, []
    row = state.row
    if row is not None and row.unsettled:
        return state, [_warning(unsettled_by(row))]
    if row is None or not row.tenant:
        return state, []
    message = f"run {row.tenant} is changing the environment {row.name}, so this plan may not hold"
    hint = f"Plan again when it has ended: batchwright monitor {row.tenant}"
    warning = Diagnostic(EnvironmentBusy.code, message, hint, where="environment", severity=Severity.WARNING)
    return state, [warning]


def _warning(refusal: EnvironmentRefused) -> Diagnostic:
    """A run would be refused for this now."""
    return replace(Diagnostic.of_error(refusal, "environment"), severity=Severity.WARNING)


async def _borrowed(stores: Stores, plan: Plan, key: EnvironmentKey) -> list[Diagnostic]:
    """A warning if another environment uses a server that the plan destroys or stops."""
    journal = await stores.get(stores.name_of(plan.storage_backend))
    try:
        await refuse_borrowed(journal, key, ended_by_plan(plan), stopped_by(plan))
    except EnvironmentRefused as refusal:
        return [_warning(refusal)]
    return []


async def _with_makers(
    stores: Stores, workflow: Workflow, observations: Observations, key: EnvironmentKey
) -> Observations:
    """The observations, plus whose servers of the workflow's names those are that the environment does not own."""
    own = {(one.provider, one.ref) for one in observations.resources}
    lent = {(one.provider, one.ref) for one in observations.resources if one.borrowed}
    made = {
        (provider, one.ref): one.run
        for provider, observed in observations.providers.items()
        for name in observed.names
        for one in observed.managed.get(name, ())
        if one.run and (provider, one.ref) not in own - lent
    }
    if not made:
        return observations
    try:
        journal = await stores.get(stores.name_of(workflow.storage_backend))
    except (StoreError, SecretMissing):
        return observations  # told with the other problems of the plan
    homes = {run: await environment_of_run(journal, run) for run in sorted(set(made.values()))}
    unowned = {run: homes[run] for place, run in made.items() if place not in own}
    return replace(
        observations,
        strangers=frozenset(run for run, home in unowned.items() if home is None),
        orphans=frozenset(run for run, home in unowned.items() if home == key),
        lenders={run: home.name for run, home in homes.items() if home is not None and home != key},
    )


async def _unknown_name(stores: Stores, workflow: Workflow, key: EnvironmentKey) -> list[Diagnostic]:
    """A warning if this would be the first run of an environment whose name is nearly that of another."""
    try:
        journal = await stores.get(stores.name_of(workflow.storage_backend))
        known = [row.name for row in await journal.environments() if row.space == key.space]
    except (StoreError, SecretMissing):
        return []  # told with the other problems of the plan
    near = close_matches(key.name, known, n=1) if known and key.name not in known else ()
    if not near:
        return []
    message = f"this would be the first run of the environment {key.name}"
    hint = f"Did you mean {near[0]}? An environment is named after its workflow."
    return [Diagnostic("environment-new", message, hint, where="environment", severity=Severity.WARNING)]


async def _store_trouble(stores: Stores, backend: str) -> list[Diagnostic]:
    """A store that cannot be opened is a problem of the plan: better known before anything is made."""
    try:
        await stores.get(stores.name_of(backend))
    except (StoreError, SecretMissing) as error:
        return [Diagnostic.of_error(error, "storage_backend")]
    return []


def approve(plan: Plan, plan_hash: str | None) -> None:
    """Raises PlanChanged unless the plan is the one that was approved."""
    if plan_hash and plan.hash() != plan_hash:
        raise PlanChanged(f"the plan is now {plan.hash()}, not {plan_hash}; a hash does not tell what has changed")
