"""Every whole workflow that the documentation shows is valid and can be planned, simulated."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.command_line import Command

DOCS = Path(__file__).parents[3] / "docs"
WHOLE, OPERATIONS = re.compile(r"^\s*batch_workflow = \{", re.MULTILINE), "operations = "
PAGES = ("workflow-file", "conditions", "checks", "approvals", "placement", "programs", "webhooks")


def workflows(page: str) -> list[str]:
    """The files that a page shows, without those that leave something out; of some it shows the operations alone."""
    blocks = re.findall(r"^```nickel\n(.*?)^```", (DOCS / f"{page}.md").read_text(), re.MULTILINE | re.DOTALL)
    frame = '{ batch_workflow = { name = "shown", version = "1", %s\n } }'
    return [
        block if WHOLE.search(block) else frame % block
        for block in blocks
        if "..." not in block and (WHOLE.search(block) or block.startswith(OPERATIONS))
    ]


SHOWN = [(page, number) for page in PAGES for number in range(len(workflows(page)))]


@pytest.mark.parametrize(("page", "number"), SHOWN, ids=str)
def test_a_workflow_that_is_shown_can_be_planned(page: str, number: int, tmp_path: Path) -> None:
    (tmp_path / "flow.ncl").write_text(workflows(page)[number])
    plan = Command(tmp_path).json("plan", "flow.ncl", "--simulate")
    assert plan["plan"]["steps"]


def test_the_tasks_are_among_them() -> None:
    assert len(workflows("workflow-file")) == 5
    assert set(re.findall(r"<!-- tested: (\w+) -->", (DOCS / "workflow-file.md").read_text())) == {
        *("approval", "check", "values", "waves"),
    }
