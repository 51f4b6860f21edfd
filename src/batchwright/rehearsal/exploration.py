"""Explores: carries out experiments in a few processes until all are done or the time is over."""

from __future__ import annotations

import gc
import itertools
import logging
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any

from msgspec import Struct

from batchwright.rehearsal.death_recorder import death_of
from batchwright.rehearsal.experiment_run import (
    ExperimentOutcome,
    MakeRun,
    ReferenceRun,
    Result,
    carry_out_together,
    forward_end_of,
    make_run,
    undisturbed,
)
from batchwright.rehearsal.experiments import at_random, in_recovery, single_faults
from batchwright.rehearsal.fault_menu import EFFECTS
from batchwright.rehearsal.fault_spec import AFTER, Experiment
from batchwright.rehearsal.rehearsed import Rehearsed

MOST = 120  # experiments that are like others, and with random faults, where no time was asked for
TOGETHER, FEW = 16, 4  # experiments of one job: such as begin with a death each, and others
BATCH_MOST, BATCH_SECONDS = 256, 1.0  # experiments between two looks at the time, and how long they should take


class ExplorationOptions(Struct, frozen=True):
    """`faults`: only these, empty for all. `seconds` is the time for it; `use_all`: also if nothing new is left.

    `workers` is how many processes explore, 1 for this one alone.
    """

    faults: frozenset[str] = frozenset()
    seconds: float = 60.0
    seed: int = 1
    workers: int = 1
    use_all: bool = False


class Explored(Struct):
    """How far an exploration came. `points` are the sides of all calls at which a process may die; at `same` of them it
    leaves the same behind as at another one.
    """

    points: int = 0
    same: int = 0
    kinds: int = 0
    kinds_done: int = 0
    alike: int = 0
    alike_done: int = 0
    nested: int = 0
    nested_done: int = 0
    random_done: int = 0
    not_reached: int = 0
    seconds: float = 0.0


@contextmanager
def without_warnings() -> Iterator[None]:
    """Keep quiet about disks that are full and clocks that jump: they are meant to."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


class Workers(AbstractContextManager["Workers"]):
    """Carries out experiments in some processes, which are forked from this one."""

    def __init__(self, rehearsed: Rehearsed, references: dict[bool, ReferenceRun], workers: int, make: MakeRun) -> None:
        forward_end = forward_end_of(rehearsed, references[True], make) if True in references else None
        _Inherited.current = (rehearsed, references, make, forward_end)
        self._workers = workers
        fork = workers > 1 and "fork" in multiprocessing.get_all_start_methods()
        self._pool = multiprocessing.get_context("fork").Pool(workers, _begin) if fork else None

    def results(self, experiments: Iterable[Experiment], until: float, *, observe: bool = False) -> Iterator[Result]:
        """The results of as many experiments as there is time for, in any order.

        `observe`: the calls of recoveries are kept where the process dies at a call that changes the world.
        """
        rest, size = iter(experiments), self._workers * TOGETHER
        while (now := time.monotonic()) < until and (batch := tuple(itertools.islice(rest, size))):
            jobs = [Job(together, until, observe) for together in _together(batch)]
            found = map(_done, jobs) if self._pool is None else self._pool.imap_unordered(_done, jobs)
            yield from itertools.chain.from_iterable(found)
            took = max(1e-3, time.monotonic() - now)
            size = max(self._workers * TOGETHER, min(BATCH_MOST, round(size * BATCH_SECONDS / took)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.terminate()
            self._pool.join()


def _begin() -> None:
    """In a process that was forked: what it inherits is never garbage, and its own garbage is seldom looked for."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


class Job(Struct, frozen=True):
    """Experiments that are carried out one after another, as `Workers.results` says."""

    experiments: tuple[Experiment, ...]
    until: float
    observe: bool


class _Inherited:
    """What the processes inherit."""

    current: Any = None


def _together(batch: Sequence[Experiment]) -> Iterator[tuple[Experiment, ...]]:
    """Experiments in groups; those that begin with a death of one run are in the same ones."""
    groups: dict[tuple[bool, bool], list[Experiment]] = {}
    for one in batch:
        groups.setdefault((one.rollback, death_of(one) is not None), []).append(one)
    for (_, dies), group in groups.items():
        most = TOGETHER if dies else FEW
        yield from (tuple(group[n : n + most]) for n in range(0, len(group), most))


def _done(job: Job) -> list[Result]:
    rehearsed, references, make, forward_end = _Inherited.current
    first = job.experiments[0]
    reference = references[first.rollback]

    def observe(one: Experiment) -> bool:
        return job.observe and _crashes_at_effect(one)

    more: Any = {"make": make, "observe": observe, "forward_end": forward_end if first.rollback else None}
    found = carry_out_together(rehearsed, reference, job.experiments, **more)
    results: list[Result] = []
    while time.monotonic() < job.until and (result := next(found, None)) is not None:
        results.append(result)
    return results


def references_of(rehearsed: Rehearsed, make: MakeRun = make_run) -> tuple[dict[bool, ReferenceRun], list[Result]]:
    """The undisturbed run and, where it can be rolled back, that too."""
    forward, result = undisturbed(rehearsed, make=make)
    references, results = {False: forward}, [result]
    if rehearsed.plan.rollback_enabled and result.outcome is not ExperimentOutcome.STUCK:
        references[True], back = undisturbed(rehearsed, rollback=True, make=make)
        results.append(back)
    return references, results


def explore(
    rehearsed: Rehearsed,
    references: dict[bool, ReferenceRun],
    options: ExplorationOptions,
    heard: Callable[[Result], None],
    make: MakeRun = make_run,
) -> Explored:
    """Carry out experiments, each result of which is `heard`; the most telling first."""
    began = time.monotonic()
    until = began + options.seconds
    forward, backward = references[False], references.get(True)
    told = (rehearsed, forward, backward, options.faults, options.seed)
    listed = single_faults(*told)
    explored = Explored(points=listed.points, same=listed.same, kinds=len(listed.first), alike=len(listed.alike))
    crashes: list[Result] = []

    def hear(result: Result) -> None:
        explored.not_reached += len(result.fired) < len(result.experiment.injections)
        if result.recovery:
            crashes.append(result)
        heard(result)

    with without_warnings(), Workers(rehearsed, references, options.workers, make) as workers:
        for result in workers.results(listed.first, until, observe=True):
            explored.kinds_done += 1
            hear(result)
        places = {one: n for n, one in enumerate(listed.first)}
        nested = in_recovery(sorted(crashes, key=lambda one: places[one.experiment]), options.faults)
        crashes.clear()
        explored.nested = len(nested)
        for result in workers.results(nested, until):
            explored.nested_done += 1
            hear(result)
        alike = listed.alike if options.use_all else listed.alike[:MOST]
        for result in workers.results(alike, until):
            explored.alike_done += 1
            hear(result)
        chosen = at_random(*told)
        chosen = chosen if options.use_all else itertools.islice(chosen, MOST)
        for result in workers.results(chosen, until):
            explored.random_done += 1
            hear(result)
    explored.seconds = time.monotonic() - began
    return explored


def _crashes_at_effect(experiment: Experiment) -> bool:
    """Whether the process dies just after a call that changes the world."""
    first = experiment.injections[0]
    return first.fault == AFTER and (first.verb in EFFECTS or "StepStarted" in first.verb)
