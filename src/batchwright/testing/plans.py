"""Helpers for tests: short ways to write workflows and to plan them without a provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from batchwright.model.plan import Guard, Plan, ProviderFacts
from batchwright.model.taskserv import Taskserv
from batchwright.model.workflow import Dependency, DependencyKind, Operation, ServerConfig, ServerPlace, Workflow
from batchwright.operations.check import Check
from batchwright.operations.command import Command, CommandRequest
from batchwright.operations.observations import ObservedAlternative
from batchwright.operations.server_batch import ServerBatch, ServerRequest
from batchwright.operations.taskserv_batch import TaskservBatch, TaskservUse
from batchwright.plan import Observations, ProviderObserved, build

DEFAULT_IMAGE = "debian-12"


def servers(
    operation: str,
    *names: str,
    after: Sequence[str] = (),
    soft: Sequence[str] = (),
    provider: str = "upcloud",
    **rest: Any,
) -> ServerBatch:
    """An operation that makes these servers; `after` and `soft` are the ids it depends on."""
    configs = tuple(ServerConfig(name, "1xCPU-2GB", "de-fra1") for name in names)
    return ServerBatch(operation, provider, configs, _dependencies(after, soft), **rest)


def taskservs(
    operation: str,
    *names: str,
    after: Sequence[str] = (),
    soft: Sequence[str] = (),
    provider: str = "upcloud",
    **rest: Any,
) -> TaskservBatch:
    """An operation that installs these task services."""
    uses = tuple(TaskservUse(name) for name in names)
    return TaskservBatch(operation, provider, uses, _dependencies(after, soft), **rest)


def command(
    operation: str,
    *run: str,
    after: Sequence[str] = (),
    soft: Sequence[str] = (),
    undo: Sequence[str] = (),
    **rest: Any,
) -> Command:
    """An operation that runs this program."""
    return Command(operation, run, tuple(undo), dependencies=_dependencies(after, soft), **rest)


def check(operation: str, *, after: Sequence[str] = (), **rest: Any) -> Check:
    """An operation that looks until all is well; `rest` says what at."""
    return Check(operation, dependencies=_dependencies(after, ()), **rest)


def workflow(*operations: Operation, **rest: Any) -> Workflow:
    """A workflow of these operations."""
    return Workflow("tested", "1.0.0", operations, **rest)


def empty_world(workflow: Workflow) -> Observations:
    """Observations in which every server resolves as requested, in empty accounts."""
    places: dict[str, list[ServerPlace]] = {}
    for op in workflow.operations:
        if isinstance(op, ServerBatch):
            for place in (place for config in op.server_configs for place in op.places(config)):
                places.setdefault(place.provider, []).append(place)
    programs = (op.program if isinstance(op, Check) else op for op in workflow.operations)
    requests = {op.id: _command(op) for op in programs if isinstance(op, Command)}
    return Observations({name: _provider(name, wanted) for name, wanted in places.items()}, requests=requests)


def plan_of(workflow: Workflow, catalogue: Mapping[str, Taskserv], observations: Observations | None = None) -> Plan:
    """The plan. Fails with the diagnostics if there is none."""
    built = build(workflow, catalogue, observations or empty_world(workflow))
    assert built.plan is not None, "\n".join(str(one) for one in built.diagnostics)
    return built.plan


def _dependencies(after: Sequence[str], soft: Sequence[str]) -> tuple[Dependency, ...]:
    return (*(Dependency(one) for one in after), *(Dependency(one, DependencyKind.SOFT) for one in soft))


def _provider(name: str, wanted: list[ServerPlace]) -> ProviderObserved:
    others = {(one.config.name, one.number): _request(one.config) for one in wanted if one.number}
    return ProviderObserved(
        facts=ProviderFacts(name=name, account=f"{name}-test", guard=Guard.LABEL_ONLY, settle_seconds=30.0),
        requests={one.config.name: _request(one.config) for one in wanted if not one.number},
        alternatives={at: ObservedAlternative(request) for at, request in others.items()},
    )


def _command(op: Command) -> CommandRequest:
    return CommandRequest.of(op, op.run[0])


def _request(config: ServerConfig) -> ServerRequest:
    return ServerRequest.of(config, config.image or DEFAULT_IMAGE, {})
