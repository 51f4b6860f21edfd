"""`make bench-agents`: tokens of answers by each way, and whether they are right; exits with 1 if a gate does not hold.

`--sizes 12,100` measures less, `--freeze` keeps the figures, `--readme` writes the README's table, and
`--live --endpoint URL --model NAME` asks a model.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.agents import checks, live, report
from bench.agents.answers import Answers, answers
from bench.agents.worlds import make_world, stressed

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- bench.agents: begin -->", "<!-- bench.agents: end -->"


def checked(found: Answers, other: Answers) -> list[str]:
    """What is wrong with the answers of a world beside facts that are missing."""
    problems, world = [], found.world
    for name, task, lacks, stale in checks.counterfactuals(found):
        problems += [f"{task} does not follow {name}: {lacks}"] if lacks else []
        problems += [f"{task} passes with what was before {name}"] if stale else []
    tried = list(checks.cheats(found, other))
    problems += [f"{task} passes with {cheat}" for cheat, task, passed in tried if passed and cheat != "cut"]
    cut = [passed for cheat, _, passed in tried if cheat == "cut"]
    if sum(cut) > report.CUT_MOST * len(cut):
        problems.append(f"{sum(cut)} of {len(cut)} texts do although they were cut short")
    asked = list(checks.drill_downs(world, 10))
    problems += [f"show {step} lacks {lacks}" for step, lacks, _ in asked if lacks]
    problems += [f"over its budget: {one}" for one in checks.over_budget(world)]
    kept, every = checks.carried(found)
    drilled = sum(one for _, _, one in asked) / len(asked)
    print(f"  lines with an asserted fact: {kept} of {every}; a drill-down takes {drilled:.0f} tokens")
    return problems


def main(words: Sequence[str]) -> int:
    """Measure, print, and say what does not hold."""
    parser = argparse.ArgumentParser(prog="bench.agents", description=__doc__)
    parser.add_argument("--sizes", default="12,100,1000")
    parser.add_argument("--freeze", action="store_true")
    parser.add_argument("--readme", action="store_true")
    parser.add_argument("--live", action="store_true")
    parser.add_argument("--endpoint", default="")
    parser.add_argument("--model", default="")
    given = parser.parse_args(words)
    found: list[report.Measured] = []
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = make_world(folder / "other", 12, 4)
        if given.live:
            return live.main(world, given.endpoint, given.model)
        other = answers(world)
        for size in map(int, given.sizes.split(",")):
            for seed in report.SEEDS[size]:
                world = make_world(folder / f"{size}-{seed}", size, seed)
                print(f"{size:,} operations, seed {seed}: {world.cause.kind}, {world.slow} is slow", flush=True)
                asked = answers(world)
                one = report.measure(asked, seed)
                found.append(one)
                own = [*report.broken_gates(one, report.read_frozen()), *checked(asked, other)]
                problems += [f"{size}/{seed}: {problem}" for problem in own]
        if "1000" in given.sizes.split(","):
            stress = stressed(world)
            problems += [f"stress: over its budget: {one}" for one in checks.over_budget(stress)]
            problems += [f"stress: {number} failures untold" for number in [checks.untold_failures(stress)] if number]
    tables = [*report.session_rows(found), "", *report.question_rows(found)]
    print("\n".join(["", *tables, "", *(problems or ["every gate holds"])]))
    if given.freeze:
        report.write_frozen(found)
    if given.readme:
        before, _, rest = README.read_text().partition(BEGIN)
        table = "\n".join(report.session_rows(found))
        README.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
