"""The skill file for clients whose model types commands: few tokens, and only commands that exist."""

from __future__ import annotations

import re
from pathlib import Path

from bench.agents.tokens import encoding

from batchwright.agents.roles.registry import roles_named
from batchwright.agents.slices.registry import SLICES

SKILL = Path(__file__).parents[3] / "skills/batchwright/SKILL.md"


def test_the_skill_file_is_short_and_names_what_there_is() -> None:
    text = SKILL.read_text()
    assert len(encoding().encode(text)) <= 175
    asked = re.findall(r"`batchwright ask (\w+) ", text)
    assert len(asked) == 6
    assert all(word in SLICES or roles_named(word) for word in asked)
