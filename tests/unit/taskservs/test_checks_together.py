"""Checks that pass are asked for together; from the first that does not, each by itself and with its retries."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from batchwright.model.taskserv import TaskservCheck
from batchwright.redaction import Redactor
from batchwright.taskservs.runner.checks import CheckScript, run_checks
from batchwright.taskservs.runner.ssh_connection import ScriptResult
from batchwright.testing.virtual_clock import VirtualClock, run_virtual


class Shell:
    """Runs scripts here, as a connection does on a server."""

    def __init__(self) -> None:
        self.scripts = 0

    async def script(self, text: str, _seconds: float) -> ScriptResult:
        self.scripts += 1
        ran = subprocess.run(["sh", "-s"], input=text, capture_output=True, text=True, check=False)
        return ScriptResult(ran.returncode, ran.stdout + ran.stderr)


def check(name: str, run: str, retries: int = 0) -> TaskservCheck:
    return TaskservCheck(name, run, retries=retries)


READS = check("reads", "cat; echo much")  # what it reads is not the other scripts
STRICT = check("strict", "set -e\nfalse\ntrue")
VARIABLE = check("variable", '[ "$port" = 80 ] || exit 7')


@pytest.mark.parametrize(("checks", "right", "scripts"), [
    ([READS, VARIABLE, READS], [True, True, True], 1),
    ([READS, STRICT, VARIABLE], [True, False, True], 3),
    ([check("broken", "( "), VARIABLE], [False, True], 3),
    ([check("leaves", "exit 0"), VARIABLE], [True, True], 1),
    ([VARIABLE], [True], 1),
    ([], [], 0),
])  # fmt: skip
def test_each_check_is_judged_by_itself(checks: list[TaskservCheck], right: list[bool], scripts: int) -> None:
    shell = Shell()
    found = asyncio.run(run_checks(shell, checks, {"port": "80"}, Redactor(())))  # type: ignore[arg-type]
    assert [(one.name, one.ok) for one in found] == [(one.name, ok) for one, ok in zip(checks, right, strict=True)]
    assert shell.scripts == scripts


def test_what_does_not_pass_is_tried_again(tmp_path: Path) -> None:
    counted = f'echo >> {tmp_path}/tries; [ "$(wc -l < {tmp_path}/tries)" -ge 3 ] || {{ echo not yet; exit 1; }}'
    checks, told = [READS, check("slow", counted, retries=3), VARIABLE], list[str]()

    async def run() -> object:
        together = CheckScript(Shell(), checks, {"port": "80"}, "echo before >&2\n", "echo noted; exit 5\n")  # type: ignore[arg-type]
        return await together.until_noted(Redactor(()), VirtualClock(), told.append)

    assert run_virtual(run()) == ScriptResult(5, "noted\n")
    assert told == ["check reads: ok", "check slow: ok", "check variable: ok"]
    shell = Shell()
    passing = CheckScript(shell, [READS, VARIABLE], {"port": "80"}, noted="echo noted; exit 5\n")  # type: ignore[arg-type]
    assert run_virtual(passing.until_noted(Redactor(()), VirtualClock(), told.append)) == ScriptResult(5, "noted\n")
    assert shell.scripts == 1
    checks[1] = check("slow", "echo never; exit 1", retries=1)
    failing = run_virtual(run())
    assert failing is not None
    assert (failing.name, failing.output) == ("slow", "never")  # type: ignore[attr-defined]
