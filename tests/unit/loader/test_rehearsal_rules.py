"""The rules of a file about the end of a run: called with many ends at once, and what is wrong with them is told."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from batchwright.loader import judge_ends, load
from batchwright.loader.rehearsal_rules import LIMITS

FILE = """{
  inputs = { most | default = 1 },
  rehearsal = {
    never = [fun end => std.array.length end.servers > inputs.most],
    in_the_end = [
      fun end => end.status == "Completed",
      RULE
    ],
  },
  batch_workflow = { name = "w", version = "1", operations = [{ id = "a", type = "command", run = ["true"] }] },
}
"""
ENDS = [
    msgspec.json.encode({"status": status, "servers": servers})
    for status, servers in (("Completed", ["a"]), ("Failed", []), ("Completed", ["a", "b"]))
]


def written(folder: Path, rule: str = "") -> Path:
    path = folder / "w.ncl"
    path.write_text(FILE.replace("RULE", rule))
    return path


def test_each_rule_is_asked_about_each_end(tmp_path: Path) -> None:
    file = written(tmp_path)
    assert load(file).diagnostics == ()
    judged = judge_ends(file, (), {}, ENDS)
    assert judged.mistakes == ()
    assert judged.rules == 2
    assert {rule.name: numbers for rule, numbers in judged.broken.items()} == {"never[0]": (2,), "in_the_end[0]": (1,)}
    assert judge_ends(file, (), {"most": "2"}, ENDS[2:]).broken == {}


@pytest.mark.parametrize(
    ("rule", "code", "place"),
    [("fun end => end.nothing,", "no-such-field", (7, 18)), ("fun end => end.status,", "wrong-type", (7, 7))],
)
def test_what_cannot_be_judged_is_told_with_its_place(
    tmp_path: Path, rule: str, code: str, place: tuple[int, int]
) -> None:
    judged = judge_ends(written(tmp_path, rule), (), {}, ENDS)
    (mistake,) = judged.mistakes
    assert (mistake.code, (mistake.line, mistake.column)) == (code, place)
    assert {rule.name for rule in judged.broken} == {"never[0]", "in_the_end[0]"}


def test_a_rule_that_is_no_function_is_a_mistake_of_the_file(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, "3,"))
    assert loaded.workflow is None
    (mistake,) = loaded.diagnostics
    assert (mistake.code, mistake.line, mistake.column) == ("wrong-type", 7, 7)


def test_a_rule_that_uses_up_the_memory_is_told_at_its_place(tmp_path: Path) -> None:
    grows = "fun end => let rec more = fun list => more (list @ list) in more [end.status],"
    limits = replace(LIMITS, memory_mib=300, cpu_seconds=10)
    judged = judge_ends(written(tmp_path, grows), (), {}, ENDS, limits)
    (mistake,) = judged.mistakes
    assert (mistake.code, mistake.line) in (("too-much-memory", 7), ("too-deep", 7), ("too-slow", 7))
    assert mistake.message.startswith("rehearsal.in_the_end[1]: ")
    assert mistake.hint
