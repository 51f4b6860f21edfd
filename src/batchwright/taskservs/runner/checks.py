"""Runs the checks of a task service on its server: with retries after an install, once on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from batchwright.model.call_outcome import CheckResult
from batchwright.model.clock import Clock
from batchwright.model.taskserv import TaskservCheck
from batchwright.redaction import Redactor
from batchwright.taskservs.base import Tell
from batchwright.taskservs.runner.direct_ssh_connection import TOOK_TOO_LONG, SshConnection
from batchwright.taskservs.runner.shell_snippets import CHECKING, with_environment


async def run_checks(
    connection: SshConnection, checks: Sequence[TaskservCheck], variables: Mapping[str, str], redact: Redactor
) -> tuple[CheckResult, ...]:
    """Run each check once; one that fails again by itself, to see what it says. Raises Unreachable."""
    passed = await _passed(connection, checks, variables)
    others = [await _once(connection, check, variables, redact) for check in checks[passed:]]
    return (*(CheckResult(check.name, True) for check in checks[:passed]), *others)


async def first_failing(
    connection: SshConnection,
    checks: Sequence[TaskservCheck],
    variables: Mapping[str, str],
    redact: Redactor,
    clock: Clock,
    tell: Tell,
) -> CheckResult | None:
    """Run the checks in order, each until it passes or its retries are used up. None if all pass."""
    passed = await _passed(connection, checks, variables)
    for number, check in enumerate(checks):
        if number < passed:
            tell(f"check {check.name}: ok")
            continue
        for left in range(check.retries, -1, -1):
            seen = await _once(connection, check, variables, redact)
            if seen.ok:
                tell(f"check {check.name}: ok")
                break
            if not left:
                return seen
            await clock.sleep(check.every)
    return None


async def _passed(connection: SshConnection, checks: Sequence[TaskservCheck], variables: Mapping[str, str]) -> int:
    """How many checks pass at once, up to the first that does not: mostly all do, and one script asks for less."""
    if len(checks) < 2:
        return 0
    parts = (f"(\n{check.script}\n) </dev/null >/dev/null 2>&1\n{_COUNT}" for check in checks)
    script = with_environment(variables, f"{CHECKING}batchwright_passed=0\n{''.join(parts)}echo $batchwright_passed\n")
    ran = await connection.script(script, sum(check.timeout for check in checks))
    told = ran.output.strip()
    return int(told) if ran.code == 0 and told.isdecimal() else 0


# `|| ...` after a subshell would take the meaning from a `set -e` in it
_COUNT = """\
batchwright_code=$?
[ $batchwright_code = 0 ] || { echo $batchwright_passed; exit 0; }
batchwright_passed=$((batchwright_passed + 1))
"""


async def _once(
    connection: SshConnection, check: TaskservCheck, variables: Mapping[str, str], redact: Redactor
) -> CheckResult:
    ran = await connection.script(with_environment(variables, CHECKING + check.script), check.timeout)
    if ran.code == 0:
        return CheckResult(check.name, True)
    how = f"took over {check.timeout:g} s" if ran.code == TOOK_TOO_LONG else f"exited with code {ran.code}"
    return CheckResult(check.name, False, redact.shown(ran.tail) or f"{how} and printed nothing")
