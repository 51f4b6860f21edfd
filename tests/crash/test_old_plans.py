"""Plans of earlier versions: their journals fold, and the machine drives them event for event as it did then."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from batchwright.journal.base import Journal
from batchwright.journal.event_codec import decode
from batchwright.model import events as ev
from batchwright.model.run import Run
from batchwright.testing.crash_points import CrashPoint, When
from batchwright.testing.virtual_clock import run_virtual
from tests.crash.lives import Lives
from tests.crash.scenarios import all_scenarios

SCENARIOS = {scenario.name: scenario for scenario in all_scenarios()}
JOURNALS = sorted((Path(__file__).parent.parent / "golden/journals").glob("*.jsonl"))
DEATHS = {"mixed-hostile": (CrashPoint(9, When.AFTER),)}  # where the process died that wrote the journal


class OldLives(Lives):
    """Of a run that was created before there were environments."""

    async def create(self, journal: Journal) -> None:
        created = ev.RunCreated(self.clock.now(), self.run, self.scenario.plan)
        await journal.create(created, Run(created).summary("memory"))

    async def turn(self, run: Run) -> None:
        return None


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.stem)
def test_a_plan_of_semantics_1_is_driven_as_before(path: Path) -> None:
    lines = path.read_bytes().splitlines()
    history = [decode(line) for line in lines]
    created = history[0]
    assert isinstance(created, ev.RunCreated)
    assert created.plan.semantics == 1
    scenario = replace(SCENARIOS[path.stem], plan=created.plan)
    assert Run.replay(history).status is scenario.ends
    lives = OldLives(scenario)

    async def again() -> list[ev.AnyEvent]:
        for point in (*DEATHS.get(path.stem, ()), CrashPoint()):
            ended = await lives.process(point)
        assert ended
        return [event for _, event in await lives.journal.read("run")]

    assert run_virtual(again()) == history  # by what they say: a newer version writes fields that these lack


def test_there_are_old_journals() -> None:
    assert len(JOURNALS) == 4
