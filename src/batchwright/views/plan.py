"""A plan as people see it before it runs: each step and its undo in words, counts, and an estimate."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from batchwright.model.actions import Action, Undo
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.environment import EnvironmentKey
from batchwright.model.fault import FaultClass
from batchwright.model.plan import FieldChange, Plan, PlannedOperation, Step
from batchwright.model.price import Offer
from batchwright.model.templates import Reference, Value
from batchwright.model.webhook import USUAL
from batchwright.model.workflow import Dependency, DependencyKind, OnFailure
from batchwright.operations.registry import type_of
from batchwright.plan.critical_path import Estimate, estimate
from batchwright.views.planned_changes import (
    PlannedChange,
    PlannedChangeLine,
    Symbol,
    counts,
    grouped,
    known_when,
    symbols,
)
from batchwright.views.planned_waves import PlannedWaves, planned_waves
from batchwright.views.text_format import duration, some


class StepView(Struct, frozen=True):
    """One step: what it will do, and what undoing it would do, in words; as data what it changes, from what to what."""

    id: str
    operation: str
    provider: str
    action: Action
    does: str
    undo: Undo
    undoes: str
    needs: tuple[str, ...]
    seconds: float
    removes: bool = False  # what it works on is gone once it succeeded
    symbol: Symbol | None = None  # None: it is a part of what another step does to the same server
    subject: str = ""  # what is put on `server`, or on this machine; "" if the step is about the server itself
    name: str = ""
    server: str = ""
    about: str = ""
    changes: tuple[FieldChange, ...] = ()
    alternatives: tuple[AlternativeView, ...] = ()
    at: str = ""  # the place that its operation names


class AlternativeView(Struct, frozen=True):
    """Where else a server is created if a place has no room for it."""

    provider: str
    plan: str
    zone: str


class PlannedValueView(Struct, frozen=True):
    """What a reference in the file stands for; if that is not known yet, `value` is None and `when` says when it is."""

    reference: str
    value: Value | None
    when: str


class OperationView(Struct, frozen=True):
    """One operation: what it waits for, how many steps it has, and how its servers follow one another.

    `conditions` say in words when it runs at all.
    """

    id: str
    type: str
    provider: str
    dependencies: tuple[Dependency, ...]
    on_failure: OnFailure
    steps: int
    conditions: tuple[str, ...] = ()
    waves: PlannedWaves | None = None


Counts = dict[Action, int]  # number of steps per action


class PlanView(Struct, frozen=True):
    """The whole plan, for people and for --json. `hash` is what `run --plan-hash` takes."""

    workflow: str
    version: str
    hash: str
    storage_backend: str
    parallel_limit: int
    rollback_enabled: bool
    simulated: bool
    counts: Counts
    providers: dict[str, Counts]
    operations: tuple[OperationView, ...]
    steps: tuple[StepView, ...]
    estimate: Estimate
    warnings: tuple[Diagnostic, ...]
    environment: str = ""
    notes: tuple[str, ...] = ()
    difference: dict[Symbol, int] = {}  # number of servers, task services and commands
    values: tuple[PlannedValueView, ...] = ()  # of the references in the file
    places: dict[str, str] = {}  # from which providers are called, by provider

    @property
    def lines(self) -> list[PlannedChangeLine]:
        """What changes; things that change alike are one line."""
        return grouped(
            PlannedChange(one.symbol, one.subject, one.name, one.server, one.provider, one.about, one.changes, one.at)
            for one in self.steps
            if one.symbol is not None
        )


def _notes(plan: Plan) -> tuple[str, ...]:
    """What is assumed about the accounts in which servers are created."""
    creating = {step.provider for step in plan.steps if step.traits.sweeps}
    told = (
        (one.name, account_note(one.exclusive, one.visible_seconds, one.visible_promised)) for one in plan.providers
    )
    return tuple(f"{name}: {words}" for name, words in told if words and name in creating)


def conditions(op: PlannedOperation) -> tuple[str, ...]:
    """When an operation runs at all, in words; empty if nothing but success before it is needed."""
    answers = (f"only if {probe} answers {answer}" for probe, answer in op.when.items())
    failures = (f"only if {edge.id} fails" for edge in op.dependencies if edge.kind is DependencyKind.FAILED)
    return (*answers, *failures)


def _condition_notes(plan: Plan) -> tuple[str, ...]:
    """What may turn out not to be wanted."""
    return tuple(f"{op.id}: {' and '.join(found)}" for op in plan.operations if (found := conditions(op)))


def _wave_notes(plan: Plan, waves: Sequence[PlannedWaves]) -> tuple[str, ...]:
    """Which operations go in waves, and which may lose some of their steps."""
    return tuple(f"{op.id}: {one.words}" for op, one in zip(plan.operations, waves, strict=True) if one.words)


def _alternative_notes(plan: Plan) -> tuple[str, ...]:
    """Where else servers are created, and when: one line for those that can go to the same places."""
    alike: dict[tuple[str, tuple[Offer, ...]], list[str]] = {}
    for step in plan.steps:
        if step.alternatives:
            alike.setdefault((step.operation, step.offers[1:]), []).append(step.request.name)
    on = {op.id: " or ".join(_REFUSALS[kind] for kind in op.otherwise_on) for op in plan.operations if op.otherwise_on}
    return tuple(
        f"{some(names)}: if {on[operation]}, {', else '.join(' '.join(filter(None, offer)) for offer in offers)}"
        for (operation, offers), names in alike.items()
    )


_REFUSALS = {FaultClass.CAPACITY: "there is no room", FaultClass.QUOTA: "the account is at its limit"}


def _lender_notes(plan: Plan) -> tuple[str, ...]:
    """Whose servers are used."""
    lent: dict[str, list[str]] = {}
    for step in plan.steps:
        if step.lender:
            lent.setdefault(step.lender, []).append(step.request.name)
    return tuple(f"uses {some(names)} of the environment {lender}" for lender, names in lent.items())


def _webhook_notes(plan: Plan) -> tuple[str, ...]:
    """Whom the file has told, and about what."""
    told = (one.public() for one in plan.notify if one.simulated or plan.simulation is None)
    return tuple(
        f"webhook {one.name} ({one.url}): {'run.*' if one.events == USUAL else ', '.join(one.events)}" for one in told
    )


def plan_view(plan: Plan) -> PlanView:
    """The view of a plan."""
    sizes: dict[str, int] = {op.id: 0 for op in plan.operations}
    providers: dict[str, Counts] = {}
    total = dict.fromkeys(Action, 0)
    for step in plan.steps:
        if not step.counted:
            continue
        sizes[step.operation] += 1
        own = [providers.setdefault(step.provider, dict.fromkeys(Action, 0))] if step.provider else []
        for tally in (total, *own):
            tally[step.action] += 1
    servers = {step.id: step.request.name for step in plan.steps}
    found, waves = symbols(plan), planned_waves(plan)
    return PlanView(
        workflow=plan.workflow,
        version=plan.version,
        hash=plan.hash(),
        storage_backend=plan.storage_backend,
        parallel_limit=plan.parallel_limit,
        rollback_enabled=plan.rollback_enabled,
        simulated=plan.simulation is not None,
        counts=total,
        providers=dict(sorted(providers.items())),
        operations=tuple(
            OperationView(
                *(op.id, op.type, op.provider, op.dependencies, op.on_failure, sizes[op.id]),
                conditions(op),
                its_waves if its_waves.words else None,
            )
            for op, its_waves in zip(plan.operations, waves, strict=True)
        ),
        steps=tuple(
            _step_view(step, servers.get(step.server, ""), symbol)
            for step, symbol in zip(plan.steps, found, strict=True)
        ),
        estimate=estimate(plan),
        warnings=plan.warnings,
        environment=EnvironmentKey.of(plan).name,
        notes=(
            *_condition_notes(plan),
            *_wave_notes(plan, waves),
            *_alternative_notes(plan),
            *_notes(plan),
            *_lender_notes(plan),
            *_webhook_notes(plan),
        ),
        difference=counts(found),
        places={one.name: one.at for one in plan.providers if one.at},
        values=tuple(
            PlannedValueView(
                one.reference, one.value, known_when(Reference(one.reference)) if one.value is None else ""
            )
            for one in plan.values
        ),
    )


def _step_view(step: Step, server: str, symbol: Symbol | None) -> StepView:
    kind = type_of(step)
    return StepView(
        id=step.id,
        operation=step.operation,
        provider=step.provider,
        action=step.action,
        does=kind.does(step, server),
        undo=step.undo,
        undoes=kind.undoes(step, server),
        needs=tuple(need.step for need in step.needs),
        seconds=step.seconds,
        removes=step.traits.removes,
        symbol=symbol,
        subject=kind.subject(step),
        name=step.request.name,
        server=server,
        about=kind.about(step),
        changes=step.changes,
        alternatives=tuple(AlternativeView(*offer) for offer in step.offers[1:]),
        at=step.request.at,
    )


def account_note(exclusive: bool, visible_seconds: float, promised: bool) -> str:
    """What is assumed of other stores that may create servers of one name in an account; empty if nothing is."""
    if exclusive:
        return "exclusive: no other store creates servers in this account, so a new one is used as soon as it is ready"
    if visible_seconds and not promised:
        return (
            f"a new server is used once a listing after {duration(visible_seconds)} shows no other of its name; the"
            " cloud does not promise that its listings are complete by then"
        )
    return ""
