"""Runs that ask people, killed before and after every call: answers, expiry and the clock give the same end."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from msgspec import Struct
from msgspec.structs import replace

from batchwright.engine.loop import DRAIN_SECONDS
from batchwright.errors import RunNotFound
from batchwright.journal.replay import load_run
from batchwright.model.actions import Action, Undo
from batchwright.model.approver import Principal
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import Hold, Need, Plan, PlannedOperation, Step
from batchwright.model.run import Run
from batchwright.model.run_signal import HoldAnswer, Signal, SignalKind
from batchwright.model.workflow import DependencyKind, OnFailure
from batchwright.operations.approval import HoldRequest
from batchwright.testing.crash_points import CrashPoint, When
from batchwright.testing.virtual_clock import VirtualClock, run_virtual
from tests.crash.lives import EndState, Lives, live_through
from tests.crash.scenarios import RETRY, Scenario, needs, plan, servers

QUIET = {"seed": 1, "spread": 0}
FAILING = {**QUIET, "fail": "b=transient:2"}  # retries wait beside the question
HOURS = 3600.0


class Person(Struct, frozen=True):
    """Answers `after` so many seconds, of the question or, if negative, before it expires."""

    name: str
    after: float
    yes: bool = True


class Story(Struct, frozen=True):
    """A plan that asks, those who answer, and how it ends. `jump` is how far the clock is set when a process dies."""

    name: str
    plan: Plan
    people: tuple[Person, ...]
    ends: frozenset[RunState]
    jump: float = 0.0


def asking(op: str, hold: Hold, *after: str) -> tuple[PlannedOperation, list[Step]]:
    """An approval."""
    step = Step(f"{op}/ask", op, "", Action.ASK, Undo.NOTHING, HoldRequest(op, "Go on?"), seconds=0.0, hold=hold)
    return PlannedOperation(op, "approval", "", "approvals", needs(*after), OnFailure.CONTINUE, RETRY, 60.0), [step]


def in_waves(hold: Hold) -> tuple[PlannedOperation, list[Step]]:
    """Three waves of one server; people are asked after the second."""
    op, made = servers("up", "upcloud", "a", "b", "c")
    steps, gate = [], ""
    for number, step in enumerate(made, 1):
        steps.append(replace(step, wave=number, needs=(Need(gate),) if gate else ()))
        if number == len(made):
            break
        before = (Need(step.id, DependencyKind.SOFT), *((Need(gate),) if gate else ()))
        gate, asks = f"up/(wave {number + 1})", hold if number == 2 else None
        request = HoldRequest(f"wave {number + 1}", "Go on?" if asks else "")
        more = {"wave": number + 1, "hold": asks, "seconds": 0.0}
        steps.append(Step(gate, "up", "", Action.GATE, Undo.NOTHING, request, before, **more))
    return op, steps


class AskedLives(Lives):
    """Lives with people, who need no process of ours: what they say is in the store at once."""

    def __init__(self, story: Story) -> None:
        super().__init__(Scenario(story.name, story.plan, story.plan.simulation or {}, RunState.COMPLETED))
        self.cloud_clock = VirtualClock()
        self.story = story
        self.seen: dict[tuple[str, int], float] = {}

    async def process(self, point: CrashPoint) -> bool:
        done = await super().process(point)
        self.clock.epoch += 0.0 if done else self.story.jump
        return done

    async def answer_all(self) -> None:
        """Each person answers each question once, at their time."""
        asked: set[tuple[str, str, int]] = set()
        while True:
            pause = DRAIN_SECONDS
            with suppress(RunNotFound):
                run = await load_run(self.journal, self.run)
                for person in self.story.people:
                    for i in run.asking:
                        pause = min(pause, await self._answer(run, person, run.plan.steps[i].id, asked))
            await self.clock.sleep(pause)

    async def _answer(self, run: Run, person: Person, step: str, asked: set[tuple[str, str, int]]) -> float:
        """Answer if it is time; gives how long to wait for that at most."""
        hold = run.holds[step]
        seen = self.seen.setdefault((step, hold.ask), self.cloud_clock.now())  # people have clocks of their own
        waits = seen + person.after - self.cloud_clock.now()
        left = waits if person.after >= 0 else hold.until + person.after - self.clock.now()
        if (person.name, step, hold.ask) in asked:
            return DRAIN_SECONDS
        if left > 0:
            return min(DRAIN_SECONDS, left)
        asked.add((person.name, step, hold.ask))
        answer = HoldAnswer(step, hold.ask, hold.hash, person.yes, Principal(person.name, person.name))
        await self.journal.signal("run", Signal(SignalKind.ANSWER, self.clock.now(), person.name, answer))
        return DRAIN_SECONDS


async def live(story: Story, *points: CrashPoint) -> tuple[EndState, int, Run]:
    lives = AskedLives(story)
    people = asyncio.create_task(lives.answer_all())
    try:
        for point in (*points, *(CrashPoint() for _ in range(12))):
            if await lives.process(point):
                break
        run = await load_run(lives.journal, "run")
    finally:
        people.cancel()
        await asyncio.gather(people, return_exceptions=True)
    outcome, processes = await live_through(lives.scenario, lives=lives)
    return outcome, processes - 1, run


def stories() -> list[Story]:
    done, failed = frozenset({RunState.COMPLETED}), frozenset({RunState.FAILED})
    ada, grace = Person("ada", 3.0), Person("grace", 18.0)  # she answers when a driver may just have died
    gate = plan(QUIET, in_waves(Hold(quorum=2)))

    def approval(hold: Hold, settings: dict[str, object] = QUIET) -> Plan:
        beside = servers("beside", "upcloud", "b")
        return plan(settings, servers("up", "upcloud", "a"), asking("ok", hold, "up"), beside,
                    servers("rest", "upcloud", "c", after=("ok",)))  # fmt: skip

    short, long_ = Hold(expires=10.0), Hold(expires=HOURS)
    return [
        Story("gate", gate, (ada, grace), done),
        Story("gate-refused", gate, (ada, replace(grace, yes=False)), failed),
        Story("in-time", approval(short), (Person("ada", -0.001),), done),
        Story("too-late", approval(short), (Person("ada", 10.1),), failed),
        Story("goes-on", approval(replace(short, go_on=True)), (), done),
        Story("clock-back", approval(long_, FAILING), (ada,), done, jump=-5 * HOURS),
        Story("clock-forward", approval(long_, FAILING), (ada,), done | failed, jump=5 * HOURS),
    ]


STORIES = {story.name: story for story in stories()}


@pytest.mark.parametrize("every", [13, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", STORIES)
def test_what_people_say_gives_the_same_end_wherever_the_process_dies(
    name: str, every: int, capsys: pytest.CaptureFixture[str]
) -> None:
    story = STORIES[name]
    point = CrashPoint()
    wanted, _, _ = run_virtual(live(story, point))
    calls, explored = point.count, 0
    for when in When:
        for n in range(1 + (when is When.AFTER), calls + 1, every):
            where = CrashPoint(n, when)
            outcome, _, run = run_virtual(live(story, where))
            _check(story, wanted, outcome, run, str(where))
            explored += 1
    with capsys.disabled():
        print(f"\n{name}: {explored} crash points of {2 * calls}, always {', '.join(sorted(story.ends))}")


def _check(story: Story, wanted: EndState, outcome: EndState, run: Run, where: str) -> None:
    assert outcome.status in story.ends, where
    assert not outcome.duplicates, where
    assert not outcome.orphans, where
    assert outcome.environment == [], where
    voices = [(hold.ask, one.principal) for hold in run.holds.values() for one in hold.answers]
    assert len(voices) == len(set(voices)), where
    if outcome.status is wanted.status:
        assert outcome.names == wanted.names, where
    else:  # the clock went past the question while nobody drove the run
        assert "h ahead of the last event" in str(run.record("ok/ask").fault), where
