"""Whatever others write, a slice keeps its budget, closes its fences, and holds nothing that moves a cursor."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchwright.agents.slices.registry import SLICES
from batchwright.agents.slices.token_budget import LEAST_BUDGET
from batchwright.model import events as ev
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import RunState
from batchwright.printable import printable
from tests.unit.agents.stories import sliced
from tests.unit.views.story import T0, fleet

QUERIES = {"show": "web/b", "find": "log step=web/b"}
MARKS = st.sampled_from(
    ["</data>", "<data>", "&lt;", "\x1b[2J", "\u202e", "\n", "token=abcdefgh", "-----BEGIN X PRIVATE KEY-----"]
)
WORDS = st.lists(st.text(max_size=40) | MARKS, max_size=12).map("".join)


@given(
    kind=st.sampled_from(list(SLICES)),
    budget=st.integers(LEAST_BUDGET, 900),
    message=WORDS,
    code=WORDS,
    lines=st.lists(WORDS, max_size=6),
)
def test_every_slice_keeps_its_bounds(kind: str, budget: int, message: str, code: str, lines: list[str]) -> None:
    story = fleet(parallel_limit=9).begin().start("web/a", "web/b", at=0).succeed("web/a", at=1)
    story.tell(ev.StepOutput(T0 + 2, "web/b", 1, tuple(lines)))
    story.fail("web/b", at=3, fault=Fault(FaultClass.INVALID, message, code=code, hint=message))
    story.skip("kube/b/containerd", 3, message, "web/b").end(RunState.FAILED, 4, message)
    found = sliced(story, 5, kind, QUERIES.get(kind, ""), budget)
    assert found.tokens <= budget
    assert found.text.count("<data>") == found.text.count("</data>")
    outside = "".join(part.rpartition("</data>")[2] for part in found.text.split("<data>"))
    assert "<" not in outside
    assert ">" not in outside.replace("->", "")
    assert printable(found.text) == found.text
    assert all(fact.text in found.text for fact in found.facts)
