"""B1: whatever a program does with its secret, it is in no journal, on no screen, in no log and in no error."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.support.command_line import environment, run_in_process

SECRET = "hunter-2 pa\"ss\x1b[31mw'ord/\N{LATIN SMALL LETTER E WITH ACUTE}+&<%\nsecond secret line"
TRACES = (
    "hunter-2",
    "w'ord",
    "second secret",
    "second%20secret",
    "second+secret",
    "odW50ZXIt",
    "68756e746572",
    "w&#x27;ord",
)
PRINTS = """
import base64, html, json, os, shlex, sys, urllib.parse as u
s = os.environ["S"]
for t in (s, json.dumps(s), json.dumps(json.dumps(s)), repr(s), repr(s.encode()), shlex.quote(s),
          u.quote(s, safe=""), u.quote_plus(s), html.escape(s), base64.b64encode(s.encode()).decode(),
          base64.b64encode(b"x" + s.encode()).decode(), base64.b64encode(b"xy" + s.encode()).decode(),
          s.encode().hex()):
    for i in range(0, len(t), 3):
        sys.stdout.write(t[i : i + 3])
        sys.stdout.flush()
    print()
print("that was all", file=sys.stderr)
sys.exit(1)
"""


def batchwright(state: Path, *words: str) -> str:
    done = run_in_process([*words, "--state-dir", str(state)], environment(state.parent), state.parent)
    return done.stdout + done.stderr


@pytest.mark.parametrize("store", ["filesystem", "surrealdb"])
def test_it_is_nowhere(tmp_path: Path, store: str) -> None:
    """B1, B3: also where the program that is to print the secret fails and shows it."""
    source, state = tmp_path / "secret", tmp_path / "state"
    source.write_text(SECRET + "\n")
    printer = ["sh", "-c", f"cat {source}; cat {source} >&2; exit 4"]
    operations = [
        {"id": "a", "type": "command", "env": {"S": {"file": str(source)}}, "run": [sys.executable, "-c", PRINTS]},
        {"id": "b", "type": "command", "env": {"S": {"command": printer}}, "run": ["true"]},
    ]
    flow = {"name": "untold", "version": "1", "storage_backend": store, "operations": operations}
    (tmp_path / "flow.json").write_text(json.dumps({"batch_workflow": flow}))
    told = batchwright(state, "run", str(tmp_path / "flow.json"))
    assert "that was all" in told
    for words in (
        ("logs", "latest", "a/run"),
        ("events", "latest"),
        ("status", "latest", "--json"),
        ("status", "latest"),
    ):
        told += batchwright(state, *words)
    assert told.count("***") > 13
    kept = b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())
    assert b"that was all" in kept
    for trace in TRACES:
        assert trace not in told
        assert trace.encode() not in kept
