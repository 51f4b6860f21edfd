"""What task services need of the servers they are installed on: checked before anything is made."""

from __future__ import annotations

from batchwright.model.taskserv import Taskserv
from batchwright.operations.observations import ProviderObserved
from batchwright.operations.planner_state import PlannedServer, names_of
from batchwright.operations.suggestions import enumerated
from batchwright.operations.taskserv_batch.planner_state import TaskservDraft
from batchwright.operations.taskserv_batch.structs import TaskservBatch


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
