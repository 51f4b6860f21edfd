"""Runs told event by event, as slices read them."""

from __future__ import annotations

from functools import lru_cache

from tests.unit.views.story import T0, Story

from batchwright.agents.slices.base import Slice
from batchwright.agents.slices.registry import run_slice, slice_kind
from batchwright.agents.slices.run_source import RunSource
from batchwright.model.fault import Fault, FaultClass
from batchwright.testing.plans import servers
from batchwright.views.run_history import history_of
from batchwright.views.wait_reasons import Circumstances

KINDS = tuple(FaultClass)
WORDS = ("disk", "network", "image", "quota", "zone", "key", "host")


def source_of(story: Story, at: float, kind: str, query: str = "", *, driven: bool = True) -> RunSource:
    """What a slice of this kind is made from, with the events that it asks for and no others."""
    history = history_of(story.history)
    wanted = set(slice_kind(kind).wanted(history.run, history, query))
    events = [(seq, event) for seq, event in enumerate(story.history, 1) if seq in wanted]
    return RunSource(history.run, history, T0 + at, Circumstances(driven), events)


def sliced(story: Story, at: float, kind: str, query: str = "", budget: int = 0, *, driven: bool = True) -> Slice:
    """A slice of a told run."""
    return run_slice(kind, source_of(story, at, kind, query, driven=driven), query, budget)


@lru_cache(1)
def stress(count: int = 1_000, failed: int = 293, groups: int = 178) -> Story:
    """A run of many servers in which many fail for many causes."""
    names = [f"web-{i:04d}" for i in range(count)]
    story = Story(servers("web", *names), servers("late", "late", after=["web"]), parallel_limit=count).begin()
    story.start(*(f"web/{one}" for one in names), at=0)
    for i, one in enumerate(names[:failed]):
        group = i % groups
        message = f"the {WORDS[group % 7]} said {chr(97 + group // 26)}{chr(97 + group % 26)}: {'no ' * (group % 40)}"
        story.fail(f"web/{one}", at=5, fault=Fault(KINDS[group % len(KINDS)], message, f"E{group % 12}"))
    return story.succeed(*(f"web/{one}" for one in names[failed:]), at=6)
