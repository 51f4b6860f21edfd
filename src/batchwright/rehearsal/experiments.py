"""Which experiments there are: every call of the undisturbed run with every fault that it may have.

Of calls that are alike the first stands for all; the others come later, in an order that the seed decides.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from batchwright.rehearsal.experiment_run import ReferenceRun, Result
from batchwright.rehearsal.fault_menu import ASK, EFFECTS, RECORD, faults_of, wanted
from batchwright.rehearsal.fault_spec import AFTER, BEFORE, Experiment, Injection, PortCall
from batchwright.rehearsal.rehearsed import Rehearsed

RANDOM_INJECTIONS = 4
_NESTED = {"find": "list_lag", "describe": "list_lag", "create": "lost_answers", "destroy": "lost_answers"}


class ExperimentList(Struct, frozen=True):
    """`first` has one experiment of each kind, the most telling first; `alike` are the others of these kinds."""

    first: tuple[Experiment, ...]
    alike: tuple[Experiment, ...]
    points: int  # sides of calls at which the process may die
    same: int  # of these, points at which a death leaves the same as at another one, which is tried


def single_faults(
    rehearsed: Rehearsed, forward: ReferenceRun, backward: ReferenceRun | None, chosen: frozenset[str], seed: int
) -> ExperimentList:
    """One fault each, in the run and in its rollback."""
    ranked: list[tuple[float, int, Experiment]] = []
    alike: list[Experiment] = []
    known: set[tuple[str, str]] = set()
    left: set[tuple[bool, int]] = set()  # states that a death leaves behind
    same = 0
    references = [(forward, False)] + ([(backward, True)] if backward is not None else [])
    for reference, rollback in references:
        for call in (*_questions(rehearsed, rollback=rollback), *reference.calls):
            for rank, fault in _faults(rehearsed, call, chosen):
                experiment = Experiment((Injection.at(call, fault),), rollback)
                if fault in (BEFORE, AFTER):
                    state = rollback, call.before if fault == BEFORE else call.after
                    if state in left:
                        same += 1
                        continue
                    left.add(state)
                if (call.alike, fault) in known:
                    alike.append(experiment)
                else:
                    known.add((call.alike, fault))
                    ranked.append((rank + 0.5 * rollback, len(ranked), experiment))
    random.Random(seed).shuffle(alike)
    points = 2 * sum(len(reference.calls) for reference, _ in references)
    first = tuple(one for _, _, one in sorted(ranked, key=lambda one: one[:2]))
    return ExperimentList(first, tuple(alike), points, same)


def _questions(rehearsed: Rehearsed, *, rollback: bool) -> Iterator[PortCall]:
    """What people are asked, which is no call of a port."""
    for step in () if rollback else rehearsed.plan.steps:
        if step.hold is not None:
            yield PortCall(step.id, ASK, 1, step.operation, alike=f"{step.operation}/{ASK}")


def _faults(rehearsed: Rehearsed, call: PortCall, chosen: frozenset[str]) -> Iterator[tuple[float, str]]:
    """The faults of a call, each with its rank: 0 is the most telling."""
    effect, record = call.verb in EFFECTS, call.verb.startswith(RECORD)
    if call.verb != ASK and wanted(AFTER, chosen):
        yield (0.0 if effect else 2.0 if record else 4.0), AFTER
        yield (1.0 if effect else 2.0 if record else 4.0), BEFORE
    for n, fault in enumerate(faults_of(call, rehearsed.capabilities)):
        if wanted(fault, chosen):
            yield (1.0 if effect or call.verb == ASK else 2.5 if record else 3.0) + n / 100, fault


def in_recovery(results: Iterable[Result], chosen: frozenset[str]) -> list[Experiment]:
    """A second fault in the process that goes on after a crash, at each kind of call that it makes."""
    found, known = [], set()
    for result in results:
        first = result.experiment.injections[0]
        for call in result.recovery:
            faults = [one for one in (AFTER, BEFORE, _NESTED.get(call.verb, "")) if one and wanted(one, chosen)]
            for fault in faults:
                kind = first.verb.split(" ")[0], result.experiment.rollback, call.alike, fault
                if kind not in known:
                    known.add(kind)
                    second = Injection.at(call, fault, process=2)
                    found.append(Experiment((*result.experiment.injections, second), result.experiment.rollback))
    return found


def at_random(
    rehearsed: Rehearsed, forward: ReferenceRun, backward: ReferenceRun | None, chosen: frozenset[str], seed: int
) -> Iterator[Experiment]:
    """Two to four faults in the first processes, without end."""
    chance = random.Random(f"{seed}/random")
    places: Sequence[tuple[PortCall, str]] = [
        (call, fault)
        for reference in (forward, *([backward] if backward is not None else []))
        for call in reference.calls
        for _, fault in _faults(rehearsed, call, chosen)
    ]
    while places:
        rollback = backward is not None and chance.random() < 0.4
        injections = []
        for n in range(chance.randint(2, RANDOM_INJECTIONS)):
            call, fault = chance.choice(places)
            process = chance.randint(1, n + 1)
            number = call.number if process == 1 else 1
            injections.append(Injection(call.subject, call.verb, fault, number, process))
        yield Experiment(tuple(injections), rollback)
