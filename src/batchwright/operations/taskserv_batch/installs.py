"""Task service operations to steps: values of variables, what servers must be able to do, and the chain per server."""

from __future__ import annotations

from msgspec.structs import replace

from batchwright.model.actions import Action, Undo
from batchwright.model.plan import Need, Step
from batchwright.model.scalar import Scalar
from batchwright.model.secret_reference import SecretReference
from batchwright.model.taskserv import Taskserv
from batchwright.model.workflow import DependencyKind
from batchwright.operations.draft import PlannedServer, names_of
from batchwright.operations.observations import ProviderObserved
from batchwright.operations.suggestions import did_you_mean, enumerated
from batchwright.operations.taskserv_batch.clusters import cluster_needs, cluster_of, leader_stays
from batchwright.operations.taskserv_batch.draft import PlannedInstall, TaskservDraft
from batchwright.operations.taskserv_batch.structs import TaskservBatch, TaskservRequest, TaskservUse

DEFAULT_VARIANT = "default"


def check_needs(draft: TaskservDraft) -> None:
    """Refuse what a server could not run, in words, before anything is made."""
    for i, op in draft.of(TaskservBatch):
        lacking: dict[tuple[str, str, str], list[PlannedServer]] = {}
        for place, install in zip(draft.targets[i], draft.installs[i], strict=True):
            observed = draft.observations.providers.get(place.provider)
            if observed is None:
                continue
            for name in install.order:
                for message, hint in _lacking(draft.catalogue[name], observed, place):
                    lacking.setdefault((name, message, hint), []).append(place)
        for (name, message, hint), places in lacking.items():
            draft.refuse("needs-unmet", f'"{name}" on {names_of(places)} {message}', op.id, hint, "taskservs")


def _lacking(entry: Taskserv, observed: ProviderObserved, place: PlannedServer) -> list[tuple[str, str]]:
    needs, servers, found = entry.needs, f'the servers of "{place.provider}"', []
    other = "Put these servers on another provider."
    if needs.init and not observed.init:
        found.append((f"needs a service manager, but {servers} have none", other))
    if needs.privileged and not observed.privileged:
        found.append((f"needs to run containers, but {servers} cannot", other))
    facts = place.facts
    if needs.own_network and facts.own_network is False:
        hint = 'Set network = "own".' if observed.own_network else other
        found.append(("needs its own network, but shares one", hint))
    elif needs.own_network and facts.own_network is None and not observed.own_network:
        found.append((f"needs its own network, but {servers} share one", other))
    plan, hint = f'plan "{place.size}" has', "Choose a larger plan."
    if not place.size:
        plan, hint = "it has", "Choose a larger server."
    if 0 < facts.memory_mb < needs.memory_mb:
        found.append((f"needs {needs.memory_mb} MB of memory, but {plan} {facts.memory_mb} MB", hint))
    if 0 < facts.cpus < needs.cpus:
        found.append((f"needs {needs.cpus} CPUs, but {plan} {facts.cpus}", hint))
    if facts.os and entry.platforms and not any(each.covers(facts.os, facts.release) for each in entry.platforms):
        goes_on = enumerated([str(each) for each in entry.platforms])
        image = f"{facts.os} {facts.release}".rstrip()
        found.append((f"runs on {goes_on}, but the image is {image}", "Choose another image."))
    return found


def fill_variables(draft: TaskservDraft) -> None:
    """Fill `requests`: one per task service of an operation, with a right value for every variable."""
    for i, op in draft.of(TaskservBatch):
        names = {name: None for install in draft.installs[i] for name in install.order}
        draft.requests[i] = {name: _request(draft, op, name, draft.listed[i].get(name)) for name in names}


def _request(draft: TaskservDraft, op: TaskservBatch, name: str, use: TaskservUse | None) -> TaskservRequest:
    entry = draft.catalogue[name]
    given = use.variables if use else {}
    _check_given(draft, f"{op.id}/{name}", entry, given)
    values = {**entry.defaults(op.provider), **given}
    optional = {name for name, variable in entry.variables.items() if variable.optional}
    for missing in sorted(entry.variables.keys() - values.keys() - optional):
        wanted = entry.variables[missing].described()
        message = f'"{name}" needs a value for its variable "{missing}": {wanted}'
        draft.refuse("variable-missing", message, f"{op.id}/{name}", "Set it in the variables of the task service.")
    known = {
        key: entry.variables[key].settled(value) for key, value in sorted(values.items()) if key in entry.variables
    }
    variant = op.provider if op.provider in entry.variants else DEFAULT_VARIANT
    return TaskservRequest(name, entry.version, variant, known, digest=entry.digest)


def _check_given(draft: TaskservDraft, where: str, entry: Taskserv, given: dict[str, Scalar | SecretReference]) -> None:
    for name, value in given.items():
        variable = entry.variables.get(name)
        if variable is None:
            message = f'"{entry.name}" has no variable "{name}"'
            draft.refuse("variable-unknown", message, where, did_you_mean(name, entry.variables))
        elif wanted := variable.wanted(value):
            message = f'the variable "{name}" of "{entry.name}" must be {wanted}'
            draft.refuse("variable-invalid", message, where, f"Write {wanted}.")


def chain_installs(draft: TaskservDraft) -> None:
    """Fill the steps of task service operations: on each server one after the other.

    Where servers are joined the steps stand by task service, so that each comes after those of other servers it needs.
    """
    for i, op in draft.of(TaskservBatch):
        steps = [
            step
            for place, install in zip(draft.targets[i], draft.installs[i], strict=True)
            for step in _chain(draft, op, draft.requests[i], place, install)
        ]
        if any(isinstance(step.request, TaskservRequest) and step.request.cluster for step in steps):
            rank = {name: at for at, name in enumerate(draft.sequence[i])}
            steps.sort(key=lambda step: rank[step.request.name])
        draft.steps[i] = steps


def _chain(
    draft: TaskservDraft,
    op: TaskservBatch,
    requests: dict[str, TaskservRequest],
    place: PlannedServer,
    install: PlannedInstall,
) -> list[Step]:
    steps: list[Step] = []
    simulated_seconds = draft.observations.install_seconds
    prefix = f"{op.id}/{place.name}/"
    for name in install.order:
        entry, required = draft.catalogue[name], install.hard[name]
        needs = [Need(prefix + one) for one in required]
        if steps and steps[-1].id.removeprefix(prefix) not in required:
            needs.append(Need(steps[-1].id, DependencyKind.SOFT))  # a server's package manager has one lock
        needs += cluster_needs(draft, op, name, place)
        must_leave = entry.remove_before_destroy or leader_stays(draft, name, place)
        goes_with_server = place.vanishes and not must_leave
        undo = Undo.WITH_SERVER if goes_with_server else Undo.REMOVE
        steps.append(
            Step(
                id=prefix + name,
                operation=op.id,
                provider=op.provider,
                action=Action.INSTALL,
                undo=Undo.NOTHING if _is_there(draft, place, name) else undo,
                request=replace(requests[name], cluster=cluster_of(draft, name, place)),
                needs=tuple(needs),
                server=place.step,
                seconds=entry.seconds if simulated_seconds is None else simulated_seconds,
            )
        )
    return steps


def _is_there(draft: TaskservDraft, place: PlannedServer, name: str) -> bool:
    """Installed before this run, which may bring it up to date but will never take it away."""
    observed = draft.observations.providers.get(place.provider)
    return not place.vanishes and observed is not None and name in observed.installed.get(place.name, ())
