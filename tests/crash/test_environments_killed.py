"""Changes of an environment as people make them, killed before and after every call: the end is always the same."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from batchwright.errors import EnvironmentRefused, PlanRefused
from batchwright.model.lifecycle import RunState
from batchwright.model.workflow import Changes, Dependency, OnFailure, Permission, ReplaceOrder, Retry, Workflow
from batchwright.operations.command import Command
from batchwright.operations.server_batch import ServerBatch
from batchwright.operations.taskserv_batch import TaskservBatch, TaskservUse
from batchwright.testing.crash_points import CrashPoint, When
from batchwright.testing.crash_state_recorder import StateRecorder, restore
from batchwright.testing.plans import servers
from batchwright.testing.virtual_clock import run_virtual
from tests.crash.environment_end import the_end
from tests.crash.environment_lives import Change, EnvironmentLives, Story, live_through
from tests.crash.watched_ports import Meanwhile

FOREIGN = "zzzzzzzzzzzz"
FAILED, CANCELLED, COMPLETED = RunState.FAILED, RunState.CANCELLED, RunState.COMPLETED
ALLOWED = Changes(Permission.ALLOWED, Permission.ALLOWED)


def shop(*names: str, service: str = "nginx", **rest: object) -> Workflow:
    """Servers of these names with a task service on each; what is no longer asked for is destroyed."""
    web = TaskservBatch("web", "upcloud", (TaskservUse(service),), (Dependency("up"),))
    fields = {"storage_backend": "memory", "on_failure": OnFailure.CONTINUE, "changes": ALLOWED, **rest}
    return Workflow("shop", "1", (servers("up", *names), web), **fields)  # type: ignore[arg-type]


def with_commands(workflow: Workflow) -> Workflow:
    """And a command with an undo before and after the task services."""
    first = Command("first", ("true",), ("false",), dependencies=(Dependency("up"),), idempotent=True)
    last = Command("last", ("true",), ("false",), dependencies=(Dependency("web"),))
    return replace(workflow, operations=(*workflow.operations, first, last))


def elsewhere(workflow: Workflow, provider: str = "aws", **fields: object) -> Workflow:
    """The workflow with its last server at another provider, or with other fields."""
    up, *rest = workflow.operations
    assert isinstance(up, ServerBatch)
    *same, last = up.server_configs
    if provider == up.provider:
        return replace(workflow, operations=(replace(up, server_configs=(*same, replace(last, **fields))), *rest))
    moved = replace(last, plan="t3.small", zone="eu-central-1a")
    there = replace(up, id="there", provider=provider, server_configs=(moved,))
    here = [replace(up, server_configs=tuple(same))] if same else []
    after = tuple(Dependency(op.id) for op in (*here, there))
    web = [replace(one, dependencies=after) for one in rest if isinstance(one, TaskservBatch)]
    return replace(workflow, operations=(*here, there, *web))


def new_first(workflow: Workflow) -> Workflow:
    """The workflow, of which replaced servers go last."""
    new = ReplaceOrder.NEW_FIRST
    operations = (replace(op, replace_order=new) if isinstance(op, ServerBatch) else op for op in workflow.operations)
    return replace(workflow, operations=tuple(operations))


def patient(workflow: Workflow) -> Workflow:
    """The workflow, which does not fail by bad luck."""
    operations = (replace(op, retry=Retry(max_attempts=9)) for op in workflow.operations)
    return replace(workflow, operations=tuple(operations))


def plant(name: str, *, stays: bool) -> Callable[[EnvironmentLives], None]:
    """A server that another store's run created, and which the environment may take over."""

    def planted(lives: EnvironmentLives) -> None:
        (one,) = [one for one in lives.world.servers() if one.name == "a"]
        request = replace(one.request, name=name)
        lives.world.plant(replace(one, ref=f"upcloud-9{name}", run=FOREIGN, token=f"t-{name}", request=request))
        lives.adopted.add(FOREIGN)
        if stays:
            lives.bystanders.add(f"upcloud-9{name}")

    return planted


def relabel(name: str) -> Callable[[EnvironmentLives], None]:
    """Somebody writes another run's label on a server."""

    def relabelled(lives: EnvironmentLives) -> None:
        (one,) = [one for one in lives.world.servers() if one.name == name]
        lives.world.plant(replace(one, run=FOREIGN))
        lives.bystanders.add(one.ref)

    return relabelled


def by_hand(name: str) -> Callable[[EnvironmentLives], None]:
    return lambda lives: lives.destroy_by_hand(name)


HARD = {"seed": 3, "lost_answers": 0.3, "late_commits": 0.3, "list_lag": 1.5, "transient": 0.2}
BROKEN = {"fail_taskserv": "nginx@b=permanent:2"}  # the first was the run's before
LAG = {"list_lag": 2.0}
LATE = {"fail": "b=late_commits:1", "late_max": 6.0}


def stories() -> list[Story]:
    """Scenarios 4 to 11 and 29 to 33 of the specification, and what has come since."""
    both = (Change(shop("a", "b")), Change(shop("a", "d")))
    own, grown = Change(shop("a")), both[0]
    adopts = Change(shop("a", "b", changes=replace(ALLOWED, adopt=("b",))), outside=plant("b", stays=False))
    stopped = Change(shop("a", "b"), (CANCELLED, COMPLETED), 0.3, by_force=True)
    etcd = shop("a", "b", service="etcd")
    moves = new_first(elsewhere(shop("a", "b"), "upcloud", zone="fi-hel1"))
    anew, fails = Change(moves), Change(moves, (FAILED,), settings=BROKEN)
    goes_back = Change(replace(moves, on_failure=OnFailure.ROLLBACK), (RunState.ROLLED_BACK,), settings=BROKEN)
    return [
        Story("retired", both, 1),
        Story("retired-hostile", both, 1, HARD),
        Story("retired-unseen", both, 1, LAG, unsteady=1.0),
        Story("retired-with-another-label", (both[0], Change(shop("a"), (FAILED,), outside=relabel("b"))), 1),
        Story("retired-by-the-next", (both[0], Change(shop("a", "d"), (FAILED,), settings={"fail": "d"}), both[1]), 1),
        Story("destroyed", (Change(with_commands(shop("a", "b"))), Change("shop")), 1),
        Story("destroyed-hostile", (Change(with_commands(shop("a", "b"))), Change("shop")), 1, HARD),
        Story("cancelled-by-force", (stopped, both[0]), 0, LATE, races=True),
        Story("moved", (both[0], Change(elsewhere(shop("a", "b")))), 1),
        Story("moved-and-back", (both[0], Change(elsewhere(shop("a", "b")), rollback=True)), 1),
        Story("moved-hostile", (both[0], Change(elsewhere(shop("a", "b")))), 1, HARD),
        Story("adopted-and-destroyed", (own, adopts, Change("shop")), 1),
        Story("adopted-and-rolled-back", (own, replace(adopts, outside=plant("b", stays=True), rollback=True)), 1),
        Story("member-replaced", (Change(etcd), Change(elsewhere(etcd, "upcloud", zone="fi-hel1"))), 1),
        Story("new-first", (both[0], anew), 1),
        Story("new-first-hostile", (both[0], Change(patient(moves))), 1, HARD),
        Story("new-first-and-back", (both[0], replace(fails, rollback=True)), 1),
        Story("new-first-and-back-by-itself", (both[0], goes_back), 1),
        Story("new-first-left-to-the-next", (both[0], fails, anew), 1),
        Story("new-first-left-and-destroyed", (both[0], fails, Change("shop")), 1),
        Story("new-first-moved", (both[0], Change(new_first(elsewhere(shop("a", "b"))))), 1),
        Story("new-first-shared", (both[0], anew, Change("shop")), 1, shared=True),
        Story("new-first-with-a-twin", (both[0], Change(moves, (FAILED,), meanwhile=plant("b", stays=True))), 1, LAG),
        Story("older-than-environments", (replace(both[0], old=True), both[1])),
        Story("shared", (both[0], Change(shop("b", "c")), Change(shop("c")), Change("shop")), 1, shared=True),
        Story("shared-hostile", (both[0], Change(shop("b", "c")), Change(shop("c"))), 1, HARD, shared=True),
        Story("shared-moved", (both[0], Change(elsewhere(shop("a", "b"))), Change("shop")), 1, shared=True),
        Story("shared-rolled-back", (own, grown, Change(shop("a", "d"), rollback=True)), 2, shared=True),
        Story(
            "shared-refused", (own, Change(shop("a", "b"), (FAILED,), settings={"fail": "b=permanent"})), 1, shared=True
        ),
        Story("shared-vanished", (own, Change(shop("a"), outside=by_hand("a"))), 1, shared=True),
        Story("shared-vanished-and-gone", (own, grown, Change(shop("a"), outside=by_hand("b"))), 2, shared=True),
    ]


STORIES = {story.name: story for story in stories()}


@pytest.mark.parametrize("most", [16, pytest.param(100_000, marks=pytest.mark.long)], ids=["some", "all"])
@pytest.mark.parametrize("name", STORIES)
def test_the_end_is_the_same_wherever_the_process_dies(
    name: str, most: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    story = STORIES[name]
    lives = EnvironmentLives(story, tmp_path)
    process = StateRecorder(lives, ("story",))
    wanted = run_virtual(live_through(lives, process))
    assert lives.count == 2
    assert bool(lives.settled) is story.races
    states = list(process.states().items())
    states = states[:: max(1, len(states) // most) | 1]  # an odd number of steps apart: on both sides of calls
    for state, deaths in states:
        next_lives = EnvironmentLives(story, tmp_path)
        end = run_virtual(live_through(next_lives), restore(next_lives, state))
        if story.races:
            assert end.servers == wanted.servers, deaths
        else:
            assert end == wanted, deaths
    with capsys.disabled():
        print(f"\n{name}: {len(states)} states of dead processes, always the same environment")


GIVEN_UP = [
    Story("given-up", (Change(shop("a", "b")), Change(shop("a", "d"), gives_up=True)), 1, shared=True),
    Story("given-up-hostile", (Change(shop("a", "b")), Change(shop("a", "d"), gives_up=True)), 1, HARD, shared=True),
    Story(
        "given-up-new-first",
        (
            Change(shop("a", "b")),
            Change(new_first(elsewhere(shop("a", "b"), "upcloud", zone="fi-hel1")), gives_up=True),
        ),
        1,
        shared=True,
    ),
    Story("given-up-moved", (Change(shop("a", "b")), Change(elsewhere(shop("a", "b")), gives_up=True)), 1),
]


@pytest.mark.parametrize("most", [16, pytest.param(100_000, marks=pytest.mark.long)], ids=["some", "all"])
@pytest.mark.parametrize("story", GIVEN_UP, ids=lambda story: story.name)
def test_a_run_given_up_wherever_its_process_died_leaves_what_its_record_says(
    story: Story, most: int, tmp_path: Path
) -> None:
    """What it had begun to remove is removed, with what only that needed; the environment has what exists."""
    lives = EnvironmentLives(story, tmp_path)
    process = StateRecorder(lives, ("story",))
    run_virtual(live_through(lives, process))
    states = list(process.states().items())
    for state, deaths in states[:: max(1, len(states) // most) | 1]:
        next_lives = EnvironmentLives(story, tmp_path)
        end = run_virtual(live_through(next_lives), restore(next_lives, state))
        assert end.runs[-1][1] in (COMPLETED, RunState.ROLLED_BACK), deaths


def test_a_run_cancelled_by_force_while_it_removes_leaves_the_rest_to_the_next(tmp_path: Path) -> None:
    """Whether the next one wants the server again or not."""
    seen = set[str]()
    for quarter in range(24):
        stopped = Change(shop("a", "d"), (CANCELLED, COMPLETED), quarter / 4, by_force=True)
        for names in ("ab", "ad"):
            story = Story("stopped", (Change(shop("a", "b")), stopped, Change(shop(*names))), 1, LATE, shared=True)
            end = run_virtual(live_through(EnvironmentLives(replace(story, races=True), tmp_path)))
            seen.add(end.runs[1][1])
    assert seen == {CANCELLED, COMPLETED}


# -- any history ----------------------------------------------------------------------------------------------------


def random_story(chance: random.Random) -> Story:
    """Some changes of an environment in clouds with troubles, and in the end it is destroyed."""
    changes = [random_change(chance) for _ in range(chance.randint(2, 5))]
    rates = {fault: chance.choice([0.0, 0.0, 0.3]) for fault in ("lost_answers", "late_commits", "transient")}
    settings = {**rates, "seed": chance.randrange(1000), "list_lag": chance.choice([0.0, 1.5])}
    unsteady = chance.choice([0.0, 1.0]) if settings["list_lag"] else 0.0
    every = (*changes, Change("shop", settings=dict.fromkeys(rates, 0.0)))
    return Story("random", every, settings=settings, shared=chance.random() < 0.7, unsteady=unsteady, races=True)


def random_change(chance: random.Random) -> Change:
    names = chance.sample("abc", chance.randint(1, 3))
    wanted = shop(*names, changes=replace(ALLOWED, retire=Permission.REQUESTED))
    if chance.random() < 0.3:
        wanted = with_commands(wanted)
    wanted = chance.choice([wanted, wanted, elsewhere(wanted), elsewhere(wanted, "upcloud", zone="fi-hel1")])
    return Change(
        wanted,
        (COMPLETED, FAILED, CANCELLED),
        chance.choice([None, None, None, chance.uniform(0.0, 4.0)]),
        rollback=chance.random() < 0.25,
        settings=chance.choice([{}, {}, {"fail": f"{names[0]}=broken:1"}, {"fail": f"{names[0]}=permanent"}]),
        outside=chance.choice([None, None, None, by_hand(names[0])]),
    )


FOUND = 65, 185, 207, 224, 559, 602  # what was left or removed there once


def wander(seed: int, folder: Path, order: ReplaceOrder) -> None:
    """The seed decides everything but in which order servers are replaced."""
    chance = random.Random(seed)
    story = random_story(chance)
    if order is ReplaceOrder.NEW_FIRST:
        changes = (
            one if isinstance(one.asked, str) else replace(one, asked=new_first(one.asked)) for one in story.changes
        )
        story = replace(story, changes=tuple(changes))
    points = [CrashPoint(chance.randint(1, 120), chance.choice(list(When))) for _ in range(chance.randint(1, 4))]
    try:
        lives = EnvironmentLives(story, folder)
        end = run_virtual(live_through(lives, *points))
        assert (end.resources, end.servers, end.keys) == ((), Counter(), frozenset()), end
        assert len(story.changes) - 1 not in lives.refused
    except BaseException as error:
        error.add_note(f"seed {seed}: {', '.join(map(str, points))}")
        raise


@pytest.mark.parametrize("order", list(ReplaceOrder))
def test_whatever_people_do_while_processes_die_nothing_is_left_and_nothing_in_use_goes(
    order: ReplaceOrder, tmp_path: Path
) -> None:
    """I1 to I4 and I6."""
    for seed in (*range(40), *FOUND):
        wander(seed, tmp_path, order)


@pytest.mark.long
@pytest.mark.parametrize("order", list(ReplaceOrder))
def test_whatever_people_do_while_processes_die_long(order: ReplaceOrder, tmp_path: Path) -> None:
    first = random.SystemRandom().randrange(10**9)
    print(f"seeds {first} to {first + 1999}")
    for seed in range(first, first + 2000):
        wander(seed, tmp_path, order)


# -- a server of one environment that another one begins to use (scenario 29) -----------------------------------------

OWNER = Change(shop("a", "b"))
BORROWS = Change(replace(shop("a"), name="apps", changes=Changes()), (COMPLETED, FAILED))
RETIRES = Change(shop("b"), (COMPLETED, FAILED))
REFUSALS = (EnvironmentRefused, PlanRefused)


async def beside(first: Change, second: Change, folder: Path, n: int, when: When) -> tuple[int, set[str]]:
    """The second happens at the n-th call of the first. Gives how many calls that makes, and who was refused."""
    lives = EnvironmentLives(Story("beside", (OWNER, first, second)), folder)
    refused: set[str] = set()
    assert await lives.live(CrashPoint(), [0])

    async def tried(point: CrashPoint, change: int) -> None:
        try:
            await lives.live(point, [change])
        except REFUSALS as error:
            refused.add(error.code)

    async def other() -> None:
        await tried(CrashPoint(), 2)

    point = Meanwhile(n, when, other)
    await tried(point, 1)
    if point.done is not None:
        await point.done
    await the_end(lives)
    return point.count, refused


@pytest.mark.parametrize(("first", "second"), [(BORROWS, RETIRES), (RETIRES, BORROWS)], ids=["borrows", "retires"])
def test_nothing_is_taken_away_that_another_environment_begins_to_use(
    first: Change, second: Change, tmp_path: Path
) -> None:
    n, calls, refused = 0, 1, set()
    while n < calls:
        n += 1
        for when in When:
            calls, codes = run_virtual(beside(first, second, tmp_path, n, when))
            refused |= codes
    assert ("server-borrowed" if first is BORROWS else "environment-busy") in refused
