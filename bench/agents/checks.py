"""Whether answers are right, follow the facts, and could not be had by cheating: tokens count only then."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

from msgspec.structs import replace

from batchwright.agents.slices.registry import SLICES, run_slice
from batchwright.agents.slices.run_source import RunSource
from batchwright.model import events as ev
from batchwright.model.lifecycle import StepState
from batchwright.model.run import Run
from batchwright.operations.registry import is_server
from bench.agents import arms
from bench.agents.answers import Answers
from bench.agents.tokens import tokens
from bench.agents.truth import EVERYTHING, facts, missing
from bench.agents.worlds import AgentWorld

CUT = 0.6  # of a text is left
ABOUT_RUNS = ("T1", "T2", "T4", "T5", "T6")
Events = Sequence[ev.AnyEvent]


def _text(world: AgentWorld, task: str, source: RunSource) -> str:
    """All that the roles of a task about a run would be given if the run were another one."""
    return "".join(one.text for one in arms.role_texts(world, task, source))


# -- counterfactuals: one raw fact is another one, and the answer has to follow ---------------------------------------


def _other_words(events: Events) -> list[ev.AnyEvent]:
    def other(event: ev.AnyEvent) -> ev.AnyEvent:
        if not isinstance(event, ev.StepFailed):
            return event
        return replace(event, fault=replace(event.fault, message=f"otherwise: {event.fault.message}"))

    return [other(event) for event in events]


def _one_more_failure(events: Events) -> list[ev.AnyEvent]:
    failed = next(event for event in events if isinstance(event, ev.StepFailed))
    at = max(i for i, event in enumerate(events) if isinstance(event, ev.StepSucceeded) and "setup" in event.step)
    step = events[at].step  # type: ignore[union-attr]
    attempt = max(event.attempt for event in events if isinstance(event, ev.StepStarted) and event.step == step)
    return [*events[:at], ev.StepFailed(events[at].at, step, attempt, failed.fault), *events[at + 1 :]]


def _slower(events: Events, provider: str) -> list[ev.AnyEvent]:
    created = events[0]
    assert isinstance(created, ev.RunCreated)
    made = {step.id for step in created.plan.steps if is_server(step) and step.provider == provider}
    late = (ev.StepCreated, ev.StepSucceeded)
    return [
        replace(event, at=event.at + 20.0) if isinstance(event, late) and event.step in made else event
        for event in events
    ]


def _longer(events: Events) -> list[ev.AnyEvent]:
    return [*events[:-1], replace(events[-1], at=events[-1].at + 100.0)]


def counterfactuals(found: Answers) -> Iterator[tuple[str, str, list[str], bool]]:
    """Each change with the task it is about, what the new answer lacks, and whether the old one would have passed."""
    world = found.world
    has_setup = any(isinstance(event, ev.StepSucceeded) and "setup" in event.step for event in world.events)
    changes: list[tuple[str, Callable[[Events], list[ev.AnyEvent]], tuple[str, ...]]] = [
        ("other words", _other_words, ("T1",)),
        ("slower", lambda events: _slower(events, world.slow), ("T5",)),
        ("longer", _longer, ("T6",)),
    ]
    if has_setup:
        changes.append(("one more failure", _one_more_failure, ("T1", "T2", "T4", "T6")))
    for name, change, tasks in changes:
        events = change(world.events)
        run = Run.replay(events)
        source = world.source_of(run, events)
        for task in tasks:
            wanted = facts(world, run, task)
            stale = not missing(wanted, found.role_text(task))
            yield name, task, missing(wanted, _text(world, task, source)), stale


# -- cheats: what must not pass --------------------------------------------------------------------------------------


def cheats(found: Answers, other: Answers) -> Iterator[tuple[str, str, bool]]:
    """Each cheat with its task, and whether it passed. `other` is of a world of another seed."""
    world = found.world
    early = world.events[: len(world.events) * 4 // 5]
    stale = world.source_of(Run.replay(early), early)
    for task in EVERYTHING:
        wanted = facts(world, world.current, task)
        cut = "".join(one.text[: int(len(one.text) * CUT)] for one in found.roles[task])
        yield "cut", task, not missing(wanted, cut)
        if task in ABOUT_RUNS and facts(world, stale.run, task) != wanted:
            yield "stale", task, not missing(wanted, _text(world, task, stale))
        if task in ABOUT_RUNS:
            yield "another run", task, not missing(wanted, _text(world, task, world.earlier_source))
            yield "another world", task, not missing(wanted, other.role_text(task))


def carried(found: Answers) -> tuple[int, int]:
    """How many lines of the answers carry a fact that is asserted, and how many there are."""
    kept = every = 0
    for task in EVERYTHING:
        wanted, lines = facts(found.world, found.world.current, task), found.role_text(task).splitlines()
        every += len(lines)
        for n in range(len(lines)):
            kept += bool(missing(wanted, "\n".join([*lines[:n], *lines[n + 1 :]])))
    return kept, every


def drill_downs(world: AgentWorld, count: int, seed: int = 1) -> Iterator[tuple[str, list[str], int]]:
    """Questions that no slice was made for, each answered by one `show`: what it lacks, and its tokens."""
    chance, run = Random(seed), world.current
    for i in chance.sample(range(len(run.records)), count):
        step, record = run.steps[i], run.records[i]
        text = run_slice("show", world.source, step.id).text
        wanted = [f"step {step.id}: ", f"attempt {record.attempt}"]
        wanted += [f"ref {record.ref}"] if record.ref else []
        wanted += [f"address {record.address}"] if record.address else []
        wanted += [record.fault.message] if record.fault and record.state is StepState.FAILED else []
        line = next(one for one in text.splitlines() if one.startswith("step "))
        yield step.id, missing(tuple(wanted), text), tokens(line)


def over_budget(world: AgentWorld) -> list[str]:
    """The slices of a world that are longer than their budget, by the real tokenizer."""
    source, found = world.source, []
    for kind, of in SLICES.items():
        if kind in ("show", "find"):
            query = "steps state=failed" if kind == "find" else world.current.steps[0].id
        else:
            query = ""
        for budget in (of.budget, 150, 2_000):
            told = run_slice(kind, source, query, budget)
            if tokens(told.text) > budget:
                found.append(f"{kind} {budget}: {tokens(told.text)}")
    return found


def untold_failures(world: AgentWorld) -> int:
    """How many failed steps a diagnosis neither shows nor counts as left out."""
    told = run_slice("diagnose", world.source)
    failed = world.current.count(StepState.FAILED)
    shown = sum(fact.count for fact in told.facts if fact.kind == "kind")
    total = next(fact.count for fact in told.facts if fact.kind == "failed")
    return abs(failed - total) + (abs(failed - shown) if shown else 0)
