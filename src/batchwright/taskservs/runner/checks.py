"""Runs the checks of a task service on its server: with retries after an install, once on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from batchwright.model.call_outcome import CheckResult
from batchwright.model.clock import Clock
from batchwright.model.taskserv import TaskservCheck
from batchwright.redaction import Redactor
from batchwright.taskservs.base import Tell
from batchwright.taskservs.runner.shell_snippets import CHECKING, with_environment
from batchwright.taskservs.runner.ssh_connection import TOOK_TOO_LONG, ScriptResult, SshConnection

NOTE_SECONDS = 30.0  # for `noted`


async def run_checks(
    connection: SshConnection, checks: Sequence[TaskservCheck], variables: Mapping[str, str], redact: Redactor
) -> tuple[CheckResult, ...]:
    """Run each check once; one that fails again by itself, to see what it says. Raises Unreachable."""
    passed = 0 if len(checks) < 2 else (await CheckScript(connection, checks, variables).run())[0]
    others = [await _once(connection, check, variables, redact) for check in checks[passed:]]
    return (*(CheckResult(check.name, True) for check in checks[:passed]), *others)


class CheckScript(Struct, frozen=True):
    """All checks of an install in one script: mostly all pass. It begins with `before` and runs `noted` if all pass."""

    connection: SshConnection
    checks: Sequence[TaskservCheck]
    variables: Mapping[str, str]
    before: str = ""
    noted: str = "true\n"

    async def until_noted(self, redact: Redactor, clock: Clock, tell: Tell) -> CheckResult | ScriptResult:
        """Run the checks in order, each until it passes or its retries are used up. Gives the one that fails, or how
        `noted` ended. Raises Unreachable.
        """
        passed, ran = await self.run()
        for number, check in enumerate(self.checks):
            if number < passed:
                tell(f"check {check.name}: ok")
                continue
            for left in range(check.retries, -1, -1):
                seen = await _once(self.connection, check, self.variables, redact)
                if seen.ok:
                    tell(f"check {check.name}: ok")
                    break
                if not left:
                    return seen
                await clock.sleep(check.every)
        return ran if passed == len(self.checks) else await self.connection.script(self.noted, NOTE_SECONDS)

    async def run(self) -> tuple[int, ScriptResult]:
        """How many checks pass at once, up to the first that does not; if all do, how `noted` ended."""
        parts = (f"(\n{check.script}\n) </dev/null >/dev/null 2>&1\n{_COUNT}" for check in self.checks)
        script = f"{self.before}{CHECKING}batchwright_passed=0\n{''.join(parts)}echo $batchwright_passed\n{self.noted}"
        seconds = NOTE_SECONDS + sum(check.timeout for check in self.checks)
        ran = await self.connection.script(with_environment(self.variables, script), seconds)
        told, _, rest = ran.output.partition("\n")
        return int(told) if told.isdecimal() else 0, ScriptResult(ran.code, rest, ran.left_out)


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
