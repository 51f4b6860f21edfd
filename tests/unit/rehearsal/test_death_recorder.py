"""Going on from a saved death gives what a process gives that really dies, on random plans."""

from __future__ import annotations

import random
from itertools import islice

from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.model.plan import Plan
from batchwright.rehearsal.death_recorder import death_of
from batchwright.rehearsal.experiment_run import Result, carry_out, carry_out_together, forward_end_of
from batchwright.rehearsal.experiments import at_random, in_recovery, single_faults
from batchwright.rehearsal.exploration import ExplorationOptions, explore, references_of, without_warnings
from batchwright.rehearsal.fault_spec import AFTER, Experiment
from tests.crash.scenarios import command, installs, plan, servers
from tests.unit.rehearsal.plans import SETTINGS, rehearsed, small

TRIED = 12  # deaths of each plan


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Up to three servers, what is on them, and up to two commands in any order."""
    names = draw(st.sampled_from([("a",), ("a", "b"), ("a", "b", "c")]))
    up = servers("up", "upcloud", *names, timeout=600.0)
    parts = [up]
    if draw(st.booleans()):
        remove = draw(st.booleans())
        parts.append(installs("svc", "upcloud", up[1], "redis", "nginx", after=("up",), remove=remove))
    if draw(st.booleans()):
        parts.append(command("migrate", idempotent=draw(st.booleans()), after=(parts[-1][0].id,)))
    if draw(st.booleans()):
        parts.append(command("seed", idempotent=True))
    return plan(SETTINGS, *parts, limit=draw(st.integers(1, 5)))


@settings(max_examples=8, deadline=None)
@given(plans(), st.integers(0, 10_000))
def test_a_saved_death_ends_as_a_real_one_does(made: Plan, seed: int) -> None:
    one = rehearsed(made)
    with without_warnings():
        references, _ = references_of(one)
        listed = single_faults(one, references[False], references[True], frozenset({"crash"}), seed)
        chance = random.Random(seed)
        singles = [*listed.first, *listed.alike]
        together = chance.sample(singles, min(TRIED, len(singles)))
        told = one, references[False], references[True], frozenset[str](), seed
        together += [more for more in islice(at_random(*told), TRIED) if death_of(more) is not None]
        for rollback in (False, True):
            group = [death for death in together if death.rollback is rollback]
            reference = references[rollback]
            if not group:
                continue
            found = list(carry_out_together(one, reference, group, observe=lambda _: True))
            alone = [carry_out(one, reference, death, observe=True) for death in group]
            assert found == alone
            assert all(result.fired for result in found if result.experiment in singles)
            nested = in_recovery(found, frozenset())[:TRIED]
            if nested:
                twice = list(carry_out_together(one, reference, nested, observe=lambda _: False))
                assert twice == [carry_out(one, reference, death) for death in nested]


@settings(max_examples=4, deadline=None)
@given(plans(), st.integers(0, 10_000))
def test_a_rollback_from_the_saved_forward_end_is_the_real_one(made: Plan, seed: int) -> None:
    """Every kind of fault; also two to four at once, some of which strike on the way forward."""
    one = rehearsed(made)
    with without_warnings():
        references, _ = references_of(one)
        listed = single_faults(one, references[False], references[True], frozenset(), seed)
        singles = [fault for fault in (*listed.first, *listed.alike) if fault.rollback]
        told = one, references[False], references[True], frozenset[str](), seed
        several = [more for more in islice(at_random(*told), 2 * TRIED) if more.rollback]
        end = forward_end_of(one, references[True])
        assert end is not None
        late = [fault for fault in singles if end.is_before(fault)]
        chance = random.Random(seed)
        group = chance.sample(late, min(TRIED, len(late))) + chance.sample(singles, TRIED) + several
        assert late
        found = list(carry_out_together(one, references[True], group, observe=lambda _: True, forward_end=end))
        assert found == [carry_out(one, references[True], fault, observe=True) for fault in group]


def test_the_first_of_two_deaths_is_the_one_that_is_saved() -> None:
    words = frozenset({AFTER, "exit"})
    assert death_of(Experiment.parse("up/a create:after + upcloud find@2:after", words)) is not None
    assert death_of(Experiment.parse("up/a create:after + up/b create:after", words)) is None
    assert death_of(Experiment.parse("migrate/run run:exit", words)) is None


def test_every_fault_of_an_exploration_takes_place() -> None:
    """Its points are those of the undisturbed run, and timers of one instant end there in the same order."""
    one = small()
    references, _ = references_of(one)
    missed: list[str] = []

    def hear(result: Result) -> None:
        if not result.fired and len(result.experiment.injections) == 1:
            missed.append(str(result.experiment))

    explored = explore(one, references, ExplorationOptions(frozenset({"crash"}), seconds=600.0), hear)
    assert missed == []
    assert explored.kinds_done > TRIED
