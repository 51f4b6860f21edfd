"""What is installed on which server: what was listed, what that requires, in which order; conflicts are refused."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import combinations

from msgspec.structs import replace

from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.taskserv import conflict_between
from batchwright.operations.planner_state import PlannedServer, Predecessors, names_of
from batchwright.operations.suggestions import did_you_mean, enumerated
from batchwright.operations.taskserv_batch.planner_state import PlannedInstall, TaskservDraft
from batchwright.operations.taskserv_batch.structs import TaskservBatch, TaskservUse


def take_listed(draft: TaskservDraft) -> None:
    """Fill `listed` and note on every target who installs what; the same service twice on a server is refused."""
    for i, op in draft.of(TaskservBatch):
        draft.listed[i] = {}
        for number, use in enumerate(op.taskservs):
            entry = draft.catalogue.get(use.entry_name)
            if entry is None:
                message, hint = f'there is no task service "{use.entry_name}"', did_you_mean(use.name, draft.catalogue)
                draft.refuse("taskserv-unknown", message, op.id, hint, f"taskservs.{number}")
                continue
            if draft.catalogue[use.name].digest != entry.digest or _has_another(draft, i, use):
                message = f'"{use.name}" is already the name of another task service'
                draft.refuse("taskserv-name", message, op.id, "Choose another name.", f"taskservs.{number}")
            draft.listed[i][use.name] = use
            _claim(draft, i, use.name, f"taskservs.{number}")


def _has_another(draft: TaskservDraft, i: int, use: TaskservUse) -> bool:
    """Whether something of this name, and of another catalogue entry, is on one of the servers."""
    there = [draft.recorded.get((place.name, use.name)) for place in draft.targets[i]]
    return any(one is not None and (one.request.get("entry") or one.name) != use.entry_name for one in there)


def _claim(draft: TaskservDraft, i: int, name: str, field: str) -> None:
    clashes: dict[int, list[PlannedServer]] = {}
    for place in draft.targets[i]:
        first = place.installed.setdefault(name, i)
        if first != i:
            clashes.setdefault(first, []).append(place)
    for first, places in clashes.items():
        draft.refuse(
            "taskserv-twice",
            f'"{name}" is requested a second time on {names_of(places)}, first by "{draft.order[first].id}"',
            draft.order[i].id,
            "Request it in only one operation.",
            field,
        )


def expand_requirements(draft: TaskservDraft) -> None:
    """Fill `installs`: what is required comes along and comes first. Servers in the same state share the work."""
    per_server = draft.has_server_edges
    for i, op, before in draft.walk():
        if not isinstance(op, TaskservBatch):
            continue
        known: dict[tuple[frozenset[tuple[str, int]], Predecessors], tuple[PlannedInstall, list[Diagnostic]]] = {}
        shared: dict[Diagnostic, list[PlannedServer]] = {}
        draft.installs[i] = []
        for place in draft.targets[i]:
            here = draft.before_on(i, place) if per_server else before
            key = (frozenset(place.installed.items()), here)
            if key not in known:
                known[key] = _expand(draft, draft.listed[i], place.installed, here, op.id)
            install, findings = known[key]
            draft.installs[i].append(install)
            for name in install.hard:
                place.installed.setdefault(name, i)
            for finding in findings:
                shared.setdefault(finding, []).append(place)
        for finding in _order(draft, i, [install for install, _ in known.values()]):
            shared[finding] = draft.targets[i]
        for finding, places in shared.items():
            draft.problems.append(_on(places, finding, op.id))


def _order(draft: TaskservDraft, i: int, installs: list[PlannedInstall]) -> list[Diagnostic]:
    """Fill `sequence` and each install's order, which is the same on every server: clusters wait across servers."""
    every: dict[str, set[str]] = {}
    for install in installs:
        for name, required in install.hard.items():
            every.setdefault(name, set()).update(required)
    try:
        draft.sequence[i] = _ordered(draft, every)
    except CycleError as error:
        draft.sequence[i] = ()
        message = f"the order is circular: {' before '.join(error.args[1])},"
        return [Diagnostic("taskserv-cycle", message, "Split them, or fix `requires` or `after` of one of them.")]
    for install in installs:
        install.order = tuple(name for name in draft.sequence[i] if name in install.hard)
    return []


def _on(places: Sequence[PlannedServer], shared: Diagnostic, operation: str) -> Diagnostic:
    """One problem for several servers: the message ends with their names."""
    message = f"{shared.message} on {names_of(places)}"
    return replace(shared, message=message, where=operation, field=shared.field or "taskservs")


def _expand(
    draft: TaskservDraft, listed: Iterable[str], installed: Mapping[str, int], before: Predecessors, op: str
) -> tuple[PlannedInstall, list[Diagnostic]]:
    present, findings = _bring_along(draft, listed, installed)
    hard: dict[str, tuple[str, ...]] = {}
    for name in sorted(present):
        required: set[str] = set()
        for requirement in draft.catalogue[name].requires:
            candidates = draft.provided.get(requirement, ())
            here = present.intersection(candidates)
            if here:
                required |= here - {name}
            else:
                findings += _look_elsewhere(draft, (name, requirement), installed, before, op)
        hard[name] = tuple(sorted(required))
    return PlannedInstall((), hard), findings


def _bring_along(
    draft: TaskservDraft, listed: Iterable[str], installed: Mapping[str, int]
) -> tuple[set[str], list[Diagnostic]]:
    """What is listed, and what it requires where only one entry provides that. A choice is left to the user."""
    present, findings, waiting = set(listed), [], deque(sorted(listed))
    while waiting:
        name = waiting.popleft()
        for requirement in draft.catalogue[name].requires:
            candidates = draft.provided.get(requirement, ())
            if len(candidates) != 1 or candidates[0] in present or candidates[0] in installed:
                continue
            only = candidates[0]
            asks = f'"{name}" requires it' if only == requirement else f'"{name}" requires "{requirement}"'
            findings.append(
                Diagnostic("taskserv-added", f'"{only}" is added, because {asks},', severity=Severity.WARNING)
            )
            present.add(only)
            waiting.append(only)
    return present, findings


def _look_elsewhere(
    draft: TaskservDraft, asked: tuple[str, str], installed: Mapping[str, int], before: Predecessors, op: str
) -> list[Diagnostic]:
    """Whether another operation installs what the first of `asked` requires, and comes before."""
    name, requirement = asked
    candidates = draft.provided.get(requirement, ())
    makers = [(one, installed[one]) for one in candidates if one in installed]
    if any(before.has_hard(at) for _, at in makers):
        return []
    earlier = [(one, at) for one, at in makers if before.has(at)]
    if earlier:
        one, maker = earlier[0][0], draft.order[earlier[0][1]].id
        message = f'"{name}" requires "{one}", but "{op}" continues even if "{maker}" could not install it,'
        hint = f'Make the dependency on "{maker}" hard.'
        return [Diagnostic("requirement-soft", message, hint, severity=Severity.WARNING)]
    if makers:
        one, maker = makers[0][0], draft.order[makers[0][1]].id
        message = f'"{name}" requires "{one}", which "{maker}" installs, but "{op}" does not depend on it,'
        hint = f'Add "{maker}" to the dependencies of "{op}".'
        return [Diagnostic("requirement-unordered", message, hint, field="dependencies")]
    if not candidates:
        message = f'"{name}" requires "{requirement}", which no task service provides,'
        return [Diagnostic("requirement-unknown", message, "Add a task service that provides it to the catalogue.")]
    message = f'"{name}" requires "{requirement}", which {enumerated(candidates)} provide,'
    return [Diagnostic("requirement-choice", message, f"Add one of them to the taskservs: {', '.join(candidates)}.")]


def _ordered(draft: TaskservDraft, hard: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Requirements and `after` first, then by name, so that the order in the file does not matter."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name, required in sorted(hard.items()):
        wished = {one for word in draft.catalogue[name].after for one in draft.provided.get(word, ())}
        sorter.add(name, *sorted(required), *sorted((wished & hard.keys()) - {name}))
    sorter.prepare()
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order += ready
        sorter.done(*ready)
    return tuple(order)


def refuse_conflicts(draft: TaskservDraft) -> None:
    """Refuse what cannot share a server, whichever operations bring it there."""
    known: dict[frozenset[tuple[str, int]], list[tuple[int, Diagnostic]]] = {}
    shared: dict[tuple[int, Diagnostic], list[PlannedServer]] = {}
    for places in draft.places.values():
        for place in places:
            if len(place.installed) < 2:
                continue
            key = frozenset(place.installed.items())
            if key not in known:
                known[key] = list(_conflicts(draft, place.installed))
            for conflict in known[key]:
                shared.setdefault(conflict, []).append(place)
    for (at, finding), places in shared.items():
        draft.problems.append(_on(places, finding, draft.order[at].id))


def _conflicts(draft: TaskservDraft, installed: Mapping[str, int]) -> Iterable[tuple[int, Diagnostic]]:
    for first, second in combinations(sorted(installed, key=lambda name: (installed[name], name)), 2):
        over = conflict_between(draft.catalogue[first], draft.catalogue[second])
        if over:
            elsewhere = installed[first] != installed[second]
            by = f' (of "{draft.order[installed[first]].id}")' if elsewhere else ""
            why = "" if over in (first, second) else f": both provide {over}, and only one can"
            message = f'"{second}" cannot be installed beside "{first}"{by}{why},'
            yield installed[second], Diagnostic("taskserv-conflict", message, "Leave one of them out.")
