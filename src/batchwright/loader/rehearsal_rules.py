"""The rules that a file has for its rehearsal: functions of the end of a run, called in the confined child process.

The ends reach the child as a JSON file that is imported, many at a time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchwright.loader import inputs as given
from batchwright.loader import nickel_expressions
from batchwright.loader.evaluation import DEATH_HINTS, told_death
from batchwright.loader.evaluator_client import EvaluationLimitExceeded, Evaluator, NickelError
from batchwright.loader.limits import MIB, LoaderLimits
from batchwright.loader.nickel_diagnostics import explained
from batchwright.loader.nickel_expressions import Path_
from batchwright.loader.sources import Sources, schema_folder
from batchwright.model.diagnostic import Diagnostic

T = TypeVar("T")
REHEARSAL = "rehearsal"
KINDS = ("never", "in_the_end")
LIMITS = LoaderLimits(memory_mib=1024, cpu_seconds=30, wall_seconds=40.0, file_bytes=8 * MIB, output_bytes=8 * MIB)
BATCH_BYTES = 2 * MIB  # of ends in one call


class EndRule(Struct, frozen=True):
    """One rule, by its path in the file."""

    path: Path_

    @property
    def name(self) -> str:
        """What it is called: `never[0]`."""
        return f"{self.path[1]}[{self.path[2]}]"

    @property
    def forbids(self) -> bool:
        """Whether true is what must not be."""
        return self.path[1] == "never"


class JudgedEnds(Struct, frozen=True):
    """For each rule the numbers of the ends that break it; `mistakes` are of rules that could not be evaluated."""

    broken: dict[EndRule, tuple[int, ...]]
    rules: int = 0  # how many there are
    mistakes: tuple[Diagnostic, ...] = ()


def judge_ends(
    file: Path,
    overlays: Sequence[Path],
    inputs: Mapping[str, str],
    ends: Sequence[bytes],
    limits: LoaderLimits = LIMITS,
) -> JudgedEnds:
    """Call the rules of a valid file with encoded ends. Raises FileUnreadable, EvaluatorUnavailable."""
    sources = Sources(limits, schema_folder())
    for path in (file, *overlays):
        sources.add(path)
    if sources.problems:
        return JudgedEnds({}, mistakes=sources.told)
    with tempfile.TemporaryDirectory(prefix="batchwright-") as folder:
        data = Path(folder, "ends.json")

        def session(judge: Callable[[Evaluator, str], T]) -> T:
            with Evaluator(limits, [*sources.roots, Path(folder)], repeats=["json"]) as evaluator:
                values = given.values(evaluator, sources, inputs)
                return judge(evaluator, nickel_expressions.merged([source.content for source in sources.main], values))

        try:
            return session(lambda evaluator, raw: _judged(evaluator, sources, raw, data, ends))
        except EvaluationLimitExceeded as death:
            return JudgedEnds({}, mistakes=(_blamed(death, session, sources, data),))


class _Session(Protocol):
    """Does something with an evaluator of its own and the text of the files. Raises EvaluationLimitExceeded."""

    def __call__(self, judge: Callable[[Evaluator, str], T]) -> T: ...


def _blamed(death: EvaluationLimitExceeded, session: _Session, sources: Sources, data: Path) -> Diagnostic:
    """What is said of an evaluation that used up a limit: with the place of the rule that does so by itself.

    The ends that were judged at that moment are still in the file.
    """
    try:
        rules = session(_rules) if data.exists() else []
    except EvaluationLimitExceeded:  # the file itself uses it up
        rules = []
    for rule in rules:
        try:
            session(lambda evaluator, raw, rule=rule: _told(evaluator, raw, data, rule))  # type: ignore[misc]
        except EvaluationLimitExceeded as again:
            place = session(lambda evaluator, raw, rule=rule: _place(evaluator, sources, raw, rule))  # type: ignore[misc]
            about = f"rehearsal.{rule.name}: {again.message}"
            return replace(place, code=again.code, message=about, hint=DEATH_HINTS.get(again.code, ""))
    return told_death(death, sources)


def _told(evaluator: Evaluator, raw: str, data: Path, rule: EndRule) -> None:
    with suppress(NickelError):  # another mistake, which is not why the evaluation ended
        _answers(evaluator, raw, data, [rule])


def _rules(evaluator: Evaluator, raw: str) -> list[EndRule]:
    rules = []
    for kind in KINDS:
        many = msgspec.json.decode(evaluator.run(nickel_expressions.children(raw, (REHEARSAL, kind))))
        rules += [EndRule((REHEARSAL, kind, n)) for n in range(many if isinstance(many, int) else 0)]
    return rules


def _judged(evaluator: Evaluator, sources: Sources, raw: str, data: Path, ends: Sequence[bytes]) -> JudgedEnds:
    rules = _rules(evaluator, raw)
    broken: dict[EndRule, list[int]] = {rule: [] for rule in rules}
    mistakes: dict[EndRule, Diagnostic] = {}
    first = 0
    for batch in _batches(ends) if rules else ():
        data.write_bytes(b"[" + b",".join(batch) + b"]")
        sound = [one for one in rules if one not in mistakes]
        for rule, answers in _called(evaluator, sources, raw, data, sound).items():
            if isinstance(answers, Diagnostic):
                mistakes[rule] = answers
            else:
                broken[rule] += [first + n for n, answer in enumerate(answers) if answer is rule.forbids]
        first += len(batch)
    told = {rule: tuple(found) for rule, found in broken.items() if found}
    return JudgedEnds(told, len(rules), tuple(mistakes.values()))


def _batches(ends: Sequence[bytes]) -> list[list[bytes]]:
    batches: list[list[bytes]] = [[]]
    size = 0
    for end in ends:
        if size > BATCH_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(end)
        size += len(end)
    return batches


def _called(
    evaluator: Evaluator, sources: Sources, raw: str, data: Path, rules: Sequence[EndRule]
) -> dict[EndRule, list[bool] | Diagnostic]:
    """What each rule gives: all in one call or, where one of them fails, each by itself."""
    try:
        given = _answers(evaluator, raw, data, rules)
    except NickelError:
        found: dict[EndRule, list[bool] | Diagnostic] = {}
        for rule in rules:
            try:
                found[rule] = _answers(evaluator, raw, data, [rule])[0]
            except NickelError as error:
                found[rule] = explained(error, sources)[0]
    else:
        found = dict(zip(rules, given, strict=True))
    return {rule: _boolean(rule, one, partial(_place, evaluator, sources, raw)) for rule, one in found.items()}


def _answers(evaluator: Evaluator, raw: str, data: Path, rules: Sequence[EndRule]) -> list[Any]:
    answer = msgspec.json.decode(
        evaluator.run(nickel_expressions.judged(raw, str(data), [rule.path for rule in rules]))
    )
    assert isinstance(answer, list)
    return answer


def _place(evaluator: Evaluator, sources: Sources, raw: str, rule: EndRule) -> Diagnostic:
    """A diagnostic at the place of a rule."""
    try:
        evaluator.run(nickel_expressions.located(raw, rule.path))
    except NickelError as error:
        return explained(error, sources)[0]
    return Diagnostic("", "", file=sources.main[0].shown, line=1, column=1)


def _boolean(rule: EndRule, answers: Any, place: Callable[[EndRule], Diagnostic]) -> list[bool] | Diagnostic:
    if isinstance(answers, Diagnostic) or all(isinstance(answer, bool) for answer in answers):
        return answers  # type: ignore[no-any-return]
    wrong = next(answer for answer in answers if not isinstance(answer, bool))
    return replace(
        place(rule),
        code="wrong-type",
        message=f"rehearsal.{rule.name} gives {msgspec.json.encode(wrong).decode()[:60]}, not true or false",
        hint='Let the function compare something: fun end => end.status == "Completed"',
    )
