"""What task services need of the servers they are installed on: checked before anything is made."""

from __future__ import annotations

from collections.abc import Iterator

from batchwright.model.plan import ServerFacts
from batchwright.model.taskserv import Taskserv
from batchwright.operations.observations import ProviderObserved
from batchwright.operations.planner_state import NO_FACTS, PlannedServer, names_of
from batchwright.operations.suggestions import enumerated
from batchwright.operations.taskserv_batch.planner_state import TaskservDraft
from batchwright.operations.taskserv_batch.structs import TaskservBatch


def check_needs(draft: TaskservDraft) -> None:
    """Refuse what a server could not run, in words, before anything is made."""
    for i, op in draft.of(TaskservBatch):
        lacking: dict[tuple[str, str, str], list[PlannedServer]] = {}
        for place, install in zip(draft.targets[i], draft.installs[i], strict=True):
            for observed, facts, size in _places(draft, place):
                for name in install.order:
                    for message, hint in _lacking(draft.catalogue[name], observed, facts, size):
                        lacking.setdefault((name, message, hint), []).append(place)
        for (name, message, hint), places in lacking.items():
            draft.refuse("needs-unmet", f'"{name}" on {names_of(places)} {message}', op.id, hint, "taskservs")


def _places(draft: TaskservDraft, place: PlannedServer) -> Iterator[tuple[ProviderObserved, ServerFacts, str]]:
    """Where the server is or may be created: what its provider, its facts and its plan are there."""
    known = draft.observations.providers
    if (observed := known.get(place.provider)) is not None:
        yield observed, place.facts, place.size
    for one in place.alternatives if place.made else ():
        if (observed := known.get(one.provider)) is not None:
            yield observed, getattr(one.request, "facts", None) or NO_FACTS, one.request.plan


def _lacking(entry: Taskserv, observed: ProviderObserved, facts: ServerFacts, size: str) -> list[tuple[str, str]]:
    needs, servers, found = entry.needs, f'the servers of "{observed.facts.name}"', []
    other = "Put these servers on another provider."
    if needs.init and not observed.init:
        found.append((f"needs a service manager, but {servers} have none", other))
    if needs.privileged and not observed.privileged:
        found.append((f"needs to run containers, but {servers} cannot", other))
    if needs.own_network and facts.own_network is False:
        hint = 'Set network = "own".' if observed.own_network else other
        found.append(("needs its own network, but shares one", hint))
    elif needs.own_network and facts.own_network is None and not observed.own_network:
        found.append((f"needs its own network, but {servers} share one", other))
    plan, hint = f'plan "{size}" has', "Choose a larger plan."
    if not size:
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
