"""B8: a command line written as one text is answered with the list that was probably meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batchwright.loader import load


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("curl -sf http://x/", '["curl", "-sf", "http://x/"]'),
        ("rm  -f x ", '["rm", "-f", "x"]'),
        ('cat x | grep "y"', r'["sh", "-c", "cat x | grep \"y\""]'),
        (r"echo a\b", r'["sh", "-c", "echo a\\b"]'),
        (" ", '["PROGRAM", "ARGUMENT"]'),
        ("x " * 200, '["PROGRAM", "ARGUMENT"]'),
    ],
)
def test_the_hint_splits_words(tmp_path: Path, line: str, words: str) -> None:
    """B8: for `run`, `undo` and a command that prints a secret."""
    for fields in ({"run": line}, {"run": ["x"], "undo": line}, {"run": ["x"], "env": {"S": {"command": line}}}):
        flow = {"name": "x", "version": "1", "operations": [{"id": "a", "type": "command", **fields}]}
        path = tmp_path / "flow.json"
        path.write_text(json.dumps({"batch_workflow": flow}))
        [found] = load(path).diagnostics
        assert found.hint == f"Write the program and each argument as a separate text: {words}"
