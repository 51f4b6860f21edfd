"""The use case of `rehearse`: a file, its plan in a simulated world, all that may go wrong, and the report."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from batchwright.app.adapters import Adapters, SharedWorld
from batchwright.app.diagnostic_positions import path_of
from batchwright.app.environment_reader import find_home
from batchwright.app.multi_store import Stores
from batchwright.app.place_ports import PlacePorts
from batchwright.app.planned import Planned
from batchwright.app.plans import check, plan_loaded
from batchwright.app.provider_capabilities import promises_here
from batchwright.app.settings import Settings
from batchwright.app.workflow_source import Source
from batchwright.engine.limits import Limits
from batchwright.errors import BatchwrightError, UsageError
from batchwright.journal.base import Journal
from batchwright.journal.environment_state import EnvironmentState, environment_key
from batchwright.journal.memory import MemoryJournal
from batchwright.loader import LOCAL, JudgedEnds, Loaded, LoaderLimits, Path_, judge_ends, locate
from batchwright.loader.rehearsal_rules import LIMITS
from batchwright.model.clock import Clock
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.environment import Resource
from batchwright.model.plan import Plan
from batchwright.model.scalar import Scalar
from batchwright.model.workflow import Workflow
from batchwright.operations.registry import type_of
from batchwright.places.place_provider import at_distance
from batchwright.providers import registry
from batchwright.providers.base import Capabilities, Provider
from batchwright.providers.simulated import Simulated, World
from batchwright.rehearsal.existing_servers import build_existing, simulated, write_existing
from batchwright.rehearsal.experiment_run import ReferenceRun, Result, carry_out
from batchwright.rehearsal.exploration import ExplorationOptions, Explored, explore, references_of, without_warnings
from batchwright.rehearsal.fault_menu import CRASH, FAULTS
from batchwright.rehearsal.fault_spec import AFTER, BEFORE, Experiment
from batchwright.rehearsal.planted_bugs import self_check
from batchwright.rehearsal.rehearsed import Rehearsed
from batchwright.rehearsal.report import Place, RehearsedFile, rehearsal_view
from batchwright.rehearsal.tally import Tally
from batchwright.views.rehearsal import RehearsalSelfCheck, RehearsalView

POLLS = 6.0  # looks at a server until it is ready, at least: fewer than in reality, which shows no more


class RehearsalOptions(Struct, frozen=True):
    """What the user asked for. `at` repeats one experiment; `against` is an environment that is there already.

    `seconds` None: until everything is explored once, 60 at most; `at_most`: so too, with the seconds that are given.
    `command` are the words that rehearse the file; `limits` are those of its evaluation. `heard` is called with the
    number of runs so far.
    """

    faults: tuple[str, ...] = ()
    seconds: float | None = None
    seed: int = 1
    at: str = ""
    against: str = ""
    workers: int = 0
    command: tuple[str, ...] = ()
    at_most: bool = False
    limits: LoaderLimits = LOCAL
    heard: Callable[[int], None] = lambda _: None


class RehearsalAnswer(Struct, frozen=True):
    """The report, or the diagnostics that say why there is no plan."""

    report: RehearsalView | None
    planned: Planned


def rehearse(settings: Settings, clock: Clock, source: Source, options: RehearsalOptions) -> RehearsalAnswer:
    """Rehearse a file: nothing real is changed. Raises UsageError, EnvironmentNotFound, FileUnreadable."""
    chosen, experiment = _chosen(options)
    loaded = check(source, settings, options.limits)
    if loaded.workflow is None:
        return RehearsalAnswer(None, Planned(None, loaded.diagnostics, is_valid=False))
    state = asyncio.run(_existing(settings, options.against)) if options.against else None
    promised, unasked = asyncio.run(_promised(settings, loaded.workflow))
    simulation = _simulation(options.seed, promised)
    planned, resources = asyncio.run(_planned(settings, clock, source, loaded, simulation, promised, state))
    if planned.plan is None:
        return RehearsalAnswer(None, planned)
    rehearsed = Rehearsed(planned.plan, promised, simulation, state.row if state else None, resources)
    places = _places(source, loaded.workflow, planned.plan, options.limits)
    told = {name: _promise(one) for name, one in promised.items()}
    file = RehearsedFile(str(source.file), options.command or (str(source.file),), options.seed, places, told, unasked)
    return _rehearsed(rehearsed, options, chosen, experiment, file, source, planned)


def _rehearsed(
    rehearsed: Rehearsed,
    options: RehearsalOptions,
    chosen: frozenset[str],
    experiment: Experiment | None,
    file: RehearsedFile,
    source: Source,
    planned: Planned,
) -> RehearsalAnswer:
    tally = Tally(rehearsed)
    with without_warnings():
        references, results = references_of(rehearsed)
        for result in results:
            tally.hear(result)
        judged = _judge(source, tally, options.limits)
        if judged.mistakes:  # better known now than when everything has been explored
            return RehearsalAnswer(None, Planned(None, judged.mistakes, is_valid=False))
        repeated = None
        if experiment is None:
            explored = _explored(rehearsed, references, options, chosen, tally)
        else:
            explored = Explored()
            repeated = carry_out(rehearsed, _reference(references, experiment), experiment, trace=True)
            tally.hear(repeated)
        judged = _judge(source, tally, options.limits) if judged.rules else judged
        if judged.mistakes:
            return RehearsalAnswer(None, Planned(None, judged.mistakes, is_valid=False))
        ends = list(tally.ends.values())
        for rule, numbers in judged.broken.items():
            for number in numbers:
                tally.hear_rule(rule.name, ends[number])
        checked = self_check(rehearsed, references, options.seed)
        proof = RehearsalSelfCheck(checked.bug.name, checked.bug.meaning, checked.runs)
        places = {**file.places, **_places_of_rules(source, judged, options.limits)}
        told = replace(file, places=places)
        view = rehearsal_view(rehearsed, references, tally, explored, proof, told, repeated)
        return RehearsalAnswer(view, planned)


def _explored(
    rehearsed: Rehearsed,
    references: dict[bool, ReferenceRun],
    options: RehearsalOptions,
    chosen: frozenset[str],
    tally: Tally,
) -> Explored:
    told = ExplorationOptions(
        chosen,
        60.0 if options.seconds is None else options.seconds,
        options.seed,
        options.workers or min(2, os.cpu_count() or 1),
        use_all=options.seconds is not None and not options.at_most,
    )

    def hear(result: Result) -> None:
        tally.hear(result)
        options.heard(tally.experiments)

    return explore(rehearsed, references, told, hear)


def _judge(source: Source, tally: Tally, limits: LoaderLimits) -> JudgedEnds:
    """What the file's own rules say of all the ends that there are."""
    limits = LIMITS if limits is LOCAL else limits
    return judge_ends(source.file, source.overlays, source.inputs, list(tally.ends), limits)


def _places_of_rules(source: Source, judged: JudgedEnds, limits: LoaderLimits) -> dict[str, Place]:
    rules = list(judged.broken)
    found = _located(source, [rule.path for rule in rules], limits)
    return {rule.name: found[rule.path] for rule in rules if rule.path in found}


def _reference(references: Mapping[bool, ReferenceRun], experiment: Experiment) -> ReferenceRun:
    if experiment.rollback not in references:
        raise UsageError(f"--at {experiment}: this run cannot be rolled back", hint="Leave out `rollback: `.")
    return references[experiment.rollback]


def _chosen(options: RehearsalOptions) -> tuple[frozenset[str], Experiment | None]:
    """The faults and the experiment that were asked for. Raises UsageError."""
    for fault in options.faults:
        if fault not in FAULTS:
            raise UsageError(f"--faults {fault}: there is no such fault", hint=f"Faults: {', '.join(sorted(FAULTS))}")
    known = FAULTS - {CRASH} | {BEFORE, AFTER}
    return frozenset(options.faults), Experiment.parse(options.at, known) if options.at else None


# -- the plan ---------------------------------------------------------------------------------------------------------


class RehearsalStore(Stores):
    """One store in memory, whatever a file asks for."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.journal: Journal = MemoryJournal()

    async def get(self, name: str, *, behind: bool = False) -> Journal:  # noqa: ARG002 - the signature of Stores
        return self.journal

    def existing_names(self) -> list[str]:
        return [self.journal.name]


class MemoryWorld(SharedWorld):
    """A world without a file."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._world = World(None)


class RehearsalAdapters(Adapters):
    """Simulated providers that promise what the real ones do; installs take as long as the catalogue says."""

    def __init__(self, promised: Mapping[str, Capabilities], *rest: object) -> None:
        super().__init__(*rest)  # type: ignore[arg-type]
        self._promised = promised

    @property
    def install_seconds(self) -> float | None:
        return None

    def _connect(self, name: str) -> Provider:
        world, clock = self._world.get(), self._world_clock()
        return Simulated(name, world, clock, self._simulation_of(name), self._promised.get(name))


async def _planned(
    settings: Settings,
    clock: Clock,
    source: Source,
    loaded: Loaded,
    simulation: dict[str, Scalar],
    promised: Mapping[str, Capabilities],
    state: EnvironmentState | None,
) -> tuple[Planned, tuple[Resource, ...]]:
    world = MemoryWorld(settings)
    resources = simulated(state.resources) if state is not None else ()
    stores = RehearsalStore(settings)
    around = RehearsalAdapters(promised, settings, clock, Limits(), simulation, world)
    async with stores, around:
        if state is not None and state.row is not None:
            assert loaded.workflow is not None
            build_existing(world.get(), resources, clock.now())
            await write_existing(stores.journal, environment_key(loaded.workflow, simulated=True), state.row, resources)
        return await plan_loaded(settings, stores, around, loaded, simulation, str(source.file.parent)), resources


async def _existing(settings: Settings, name: str) -> EnvironmentState:
    async with Stores(settings) as stores:
        return (await find_home(stores, name, simulated=None)).state


async def _promised(settings: Settings, workflow: Workflow) -> tuple[dict[str, Capabilities], tuple[str, ...]]:
    """What the real providers promise, and in words which places could not be asked.

    A place is asked about its providers; nothing else is contacted. For one that cannot be asked, what the adapter here
    promises stands in, at the same distance.
    """
    places, promised, unasked = PlacePorts(settings), dict[str, Capabilities](), list[str]()
    for name in sorted({name for op in workflow.operations for name in type_of(op).providers(op)} - {"simulated"}):
        real, place = None, places.place_of(name)
        if place:
            try:
                real = await places.promises(name)
            except BatchwrightError as error:
                unasked.append(f"what {name} promises at {place}, which could not be asked: {error.message}")
        if real is None:
            try:
                real = promises_here(name, settings)
            except BatchwrightError:  # a package that is missing, or settings that are not complete
                continue
            real = at_distance(real, place) if place else real
        promised[name] = replace(real, at="", poll_seconds=max(real.poll_seconds, real.create_seconds / POLLS))
    return promised, tuple(unasked)


def _simulation(seed: int, promised: Mapping[str, Capabilities]) -> dict[str, Scalar]:
    settings: dict[str, Scalar] = {"seed": seed, "spread": 0.0, "install_seconds": 0.0}
    for name, one in promised.items():
        settings[f"{name}.boot_seconds"] = one.create_seconds
        settings[f"{name}.guard"] = str(one.guard)
    return settings


def _promise(one: Capabilities) -> str:
    return f"{one.guard}, settles in {one.settle_seconds:g} s, lists within {one.visible_seconds or 0:g} s"


# -- places in the file -----------------------------------------------------------------------------------------------


def _places(source: Source, workflow: Workflow, plan: Plan, limits: LoaderLimits) -> dict[str, Place]:
    """The places in the file of all operations and steps."""
    paths: dict[str, Path_] = {}
    for name in (*(op.id for op in plan.operations), *(step.id for step in plan.steps)):
        path = path_of(workflow, Diagnostic("", "", where=name))
        if path is not None:
            paths[name] = path
    spots = _located(source, list(dict.fromkeys(paths.values())), limits)
    return {name: spots[path] for name, path in paths.items() if path in spots}


def _located(source: Source, paths: Sequence[Path_], limits: LoaderLimits) -> dict[Path_, Place]:
    told: dict[str, Any] = {"overlays": source.overlays, "inputs": source.inputs, "providers": registry.contracts()}
    found = locate(source.file, paths, limits=limits, **told)
    return {path: Place(one.file, one.line, one.column) for path, one in zip(paths, found, strict=False)}
