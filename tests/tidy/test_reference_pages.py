"""The pages of docs/ that are made from the code are those that it makes."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts.reference import reference


@pytest.mark.parametrize(("path", "text"), reference().items(), ids=lambda value: getattr(value, "name", ""))
def test_the_reference_is_up_to_date(path: Path, text: str) -> None:
    assert path.read_text() == text, "write it again with: python scripts/reference.py"
