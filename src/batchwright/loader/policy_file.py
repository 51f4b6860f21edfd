"""The operator's policy file: checked by its contract, its rules called with a plan, in the confined child process.

The plan reaches the child as a JSON file that is imported: whatever its texts look like, they stay texts.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchwright.loader import nickel_expressions
from batchwright.loader.evaluation import Evaluation, FileContract, told_death
from batchwright.loader.evaluator_client import EvaluationLimitExceeded, Evaluator, NickelError
from batchwright.loader.limits import MIB, LoaderLimits
from batchwright.loader.nickel_diagnostics import explained
from batchwright.loader.sources import Sources, schema_folder
from batchwright.model.diagnostic import Diagnostic, bounded

CONTRACT = FileContract("policy.ncl", ("rules",))
LIMITS = LoaderLimits(memory_mib=1024, cpu_seconds=15, wall_seconds=20.0, file_bytes=MIB, output_bytes=MIB)
SHARE_SECONDS = 1.0  # the least that a rule has when it is searched which of them takes too long


class PolicyAnswer(Struct, frozen=True):
    """What a policy file says of a plan. `rules` are its rules as data, None if the file has `mistakes`.

    By the name of the rule: `results` are what the functions gave, `failures` why one gave nothing.
    """

    rules: dict[str, dict[str, Any]] | None
    mistakes: tuple[Diagnostic, ...] = ()
    results: dict[str, Any] = {}
    failures: dict[str, Diagnostic] = {}


def read_policy(file: Path, shown: str, *, plan: object = None, limits: LoaderLimits = LIMITS) -> PolicyAnswer:
    """Check a policy file, which people know as `shown`, and with a `plan` call its rules with it.

    Raises FileUnreadable, EvaluatorUnavailable."""
    sources = Sources(limits, schema_folder())
    sources.add(file, shown)
    if sources.problems:
        return PolicyAnswer(None, sources.told)
    with tempfile.TemporaryDirectory(prefix="batchwright-") as folder:
        data = Path(folder, "plan.json")
        data.write_bytes(msgspec.json.encode(plan))
        try:
            with Evaluator(limits, [*sources.roots, Path(folder)]) as evaluator:
                evaluation = Evaluation(sources, evaluator, {}, {}, contract=CONTRACT)
                rules = evaluation.tree()
                if rules is None:
                    return PolicyAnswer(None, bounded(evaluation.diagnostics))
                if plan is None or not rules:
                    return PolicyAnswer(rules)
                results, failures = _called(evaluator, sources, data, list(rules))
        except EvaluationLimitExceeded as death:
            results, failures = {}, _slow(sources, data, list(rules or ()), death)
    return PolicyAnswer(rules, (), results, failures)


def _called(
    evaluator: Evaluator, sources: Sources, data: Path, names: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Diagnostic]]:
    """All rules at once, or where one of them fails each by itself. Raises EvaluationLimitExceeded."""
    try:
        return _results(evaluator, sources, data, names), {}
    except NickelError:
        results: dict[str, Any] = {}
        failures: dict[str, Diagnostic] = {}
        for name in names:
            try:
                results |= _results(evaluator, sources, data, [name])
            except NickelError as error:
                failures[name] = explained(error, sources)[0]
        return results, failures


def _results(evaluator: Evaluator, sources: Sources, data: Path, names: Sequence[str]) -> dict[str, Any]:
    expression = nickel_expressions.called(sources.main[0].content, str(data), names)
    answer = msgspec.json.decode(evaluator.run(expression))
    assert isinstance(answer, dict)
    return answer


def _slow(sources: Sources, data: Path, names: Sequence[str], death: EvaluationLimitExceeded) -> dict[str, Diagnostic]:
    """Which rules exceed a limit, each called in a process of its own with its share of the time; at least one."""
    limits = sources.limits
    share = max(SHARE_SECONDS, limits.wall_seconds / max(1, len(names)))
    own = replace(limits, wall_seconds=share, cpu_seconds=min(limits.cpu_seconds, max(1, round(share))))
    until = time.monotonic() + limits.wall_seconds
    failures: dict[str, Diagnostic] = {}
    for name in names:
        if time.monotonic() > until:
            break
        try:
            with Evaluator(own, [*sources.roots, data.parent]) as evaluator:
                _results(evaluator, sources, data, [name])
        except EvaluationLimitExceeded as found:
            failures[name] = told_death(found, sources)
        except NickelError as error:
            failures[name] = explained(error, sources)[0]
    return failures or {names[0] if len(names) == 1 else ", ".join(names): told_death(death, sources)}
