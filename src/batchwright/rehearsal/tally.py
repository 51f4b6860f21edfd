"""What all results of a rehearsal add up to, in bounded memory: counts, causes with an example each, different ends."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from batchwright.rehearsal.experiment_run import ExperimentOutcome, Result
from batchwright.rehearsal.fault_spec import Experiment, Injection
from batchwright.rehearsal.invariants import Invariant
from batchwright.rehearsal.rehearsed import Rehearsed

STORE = "(store)"  # the place of what is no operation's
OF_ACCOUNTS = ("auth", "quota")  # faults that are the same for everything in an account
# faults that last until a person mends them
LASTING = frozenset(
    {"capacity", "quota", "auth", "exit", "refused", "expired", "vanishes", "timeout", "wrong_status", "wrong_body"}
)
NESTED = 2  # faults of which the matrix shows the last; what more of them together do is no single one's doing
DURATIONS_MOST = 100_000
ENDS_BYTES = 16_000_000  # of different ends that the rules of the file are called with


class Cause(Struct, frozen=True):
    """What findings have in common. `kind` is an invariant, or what people had to do; `fault` is the first one."""

    kind: str
    operation: str
    fault: str
    why: str = ""


class Examples(Struct):
    """The findings of one cause: how many, the simplest experiment, and the steps or servers that they are about."""

    count: int
    result: Result
    about: dict[str, int]


class DifferentEnd(Struct):
    """An end that experiments came to: the simplest of them, and how many did."""

    result: Result
    count: int = 1


class Tally:
    """Hears results."""

    def __init__(self, rehearsed: Rehearsed) -> None:
        self._operations = {step.id: step.operation for step in rehearsed.plan.steps}
        self._accounts = {step.id: step.provider for step in rehearsed.plan.steps}
        self._providers = {facts.name for facts in rehearsed.plan.providers}
        self.experiments = 0
        self.crashes = 0
        self.outcomes: Counter[ExperimentOutcome] = Counter()
        self.fired: Counter[str] = Counter()
        self.cells: Mapping[tuple[str, str], Counter[ExperimentOutcome]] = defaultdict(Counter)
        self.causes: dict[Cause, Examples] = {}
        self.ends: dict[bytes, DifferentEnd] = {}
        self.ends_left_out = 0
        self._end_bytes = 0
        self.seconds: list[float] = []
        self.costs: dict[str, list[float]] = {}

    def operation_of(self, injection: Injection) -> str:
        """The row of the matrix that a fault belongs to."""
        if injection.subject in self._providers:
            return injection.subject
        return self._operations.get(injection.subject, STORE)

    def hear(self, result: Result) -> None:
        """Count one result."""
        self.experiments += 1
        self.outcomes[result.outcome] += 1
        for one in result.fired:
            self.fired[_word(one)] += 1
            self.crashes += _word(one) == "crash"
        if len(result.experiment.injections) <= NESTED:
            for injection in result.experiment.injections[-1:]:
                self.cells[self.operation_of(injection), _word(injection)][result.outcome] += 1
        for cause, about in self._causes(result):
            self._found(cause, about, result)
        self._keep_end(result)
        if len(self.seconds) < DURATIONS_MOST and result.seconds:
            self.seconds.append(result.seconds)
            for currency, amount in result.cost.items():
                self.costs.setdefault(currency, []).append(amount)

    def _causes(self, result: Result) -> list[tuple[Cause, str]]:
        injections = result.fired or result.experiment.injections
        words = tuple(dict.fromkeys(map(_word, injections)))
        fault, place = "+".join(words), self.operation_of(injections[0]) if injections else STORE
        found = [
            (Cause(str(one.invariant), self._operations.get(one.about, place), fault), one.about)
            for one in result.broken
        ]
        if lasting := next((one for one in injections if _word(one) in LASTING), None):  # it is why people are needed
            fault, place = _word(lasting), self.operation_of(lasting)
            place = self._accounts.get(lasting.subject, place) if fault in OF_ACCOUNTS else place
        if result.outcome is ExperimentOutcome.STUCK:
            if vanished := next((one for one in injections if _word(one) == "vanishes"), None):  # why no help suffices
                fault, place = "vanishes", self.operation_of(vanished)
            step = next((step for one in result.help for step in one.steps if step in self._operations), "")
            found.append((Cause("stuck", self._operations.get(step, place), fault), step))
        if result.outcome is ExperimentOutcome.ROLLED_BACK:
            found.append((Cause("taken_back", place, fault), next((one.subject for one in injections), "")))
        if result.outcome is ExperimentOutcome.HELP:
            for one in result.help:
                step = next((step for step in one.steps if step in self._operations), "")
                operation = self._operations.get(step, place) if one.kind in ("doubt", "answer") else place
                found.append((Cause(one.kind, operation, "" if one.kind == "doubt" else fault), step))
        return found

    def _found(self, cause: Cause, about: str, result: Result) -> None:
        seen = self.causes.get(cause)
        if seen is None:
            self.causes[cause] = Examples(1, result, {about: 1})
            return
        seen.count += 1
        seen.about[about] = seen.about.get(about, 0) + 1
        if simpler(result, seen.result):
            seen.result = result

    def _keep_end(self, result: Result) -> None:
        if not result.end:
            return
        seen = self.ends.get(result.end)
        if seen is not None:
            seen.count += 1
            if simpler(result, seen.result):
                seen.result = result
        elif self._end_bytes < ENDS_BYTES:
            self.ends[result.end] = DifferentEnd(result)
            self._end_bytes += len(result.end)
        else:
            self.ends_left_out += 1

    def merged(self) -> dict[Cause, Examples]:
        """The causes; what several faults together led to is counted with what one of them alone led to."""
        merged = {
            cause: msgspec.structs.replace(found) for cause, found in self.causes.items() if "+" not in cause.fault
        }
        for cause, found in self.causes.items():
            if cause.fault and (known := next((c for c in merged if _explains(c, cause)), None)) is not None:
                merged[known].count += found.count
                merged.pop(cause, None)
            elif cause not in merged:
                merged[cause] = found
        return merged

    def note(self, cause: Cause, about: str, experiment: Experiment) -> None:
        """Something that is so without any fault."""
        self._found(cause, about, Result(experiment, ExperimentOutcome.SAME, ""))

    def hear_rule(self, rule: str, end: DifferentEnd) -> None:
        """A rule of the user's file is broken by an end."""
        injections = end.result.experiment.injections
        place = self.operation_of(injections[0]) if injections else STORE
        cause = Cause(str(Invariant.USER), place, "+".join(dict.fromkeys(map(_word, injections))), rule)
        self._found(cause, rule, end.result)
        self.causes[cause].count += end.count - 1


def _explains(one: Cause, other: Cause) -> bool:
    """Whether what one cause says is said by the other as well: it takes no fault at all, or one of several."""
    if (one.kind, one.why) != (other.kind, other.why):
        return False
    return not one.fault or ("+" in other.fault and one.fault in other.fault.split("+"))


def simpler(one: Result, other: Result) -> bool:
    """Whether an experiment is the better example: fewer faults, fewer processes, then by its text."""
    return _complexity(one) < _complexity(other)


def _complexity(one: Result) -> tuple[int, int, bool, str]:
    experiment = one.experiment
    return len(experiment.injections), one.processes, experiment.rollback, str(experiment)


def words_of(experiment: Experiment) -> str:
    """The faults of an experiment in one word: `crash+exit`."""
    return "+".join(dict.fromkeys(map(_word, experiment.injections)))


def _word(injection: Injection) -> str:
    return "crash" if injection.fault in ("before", "after") else injection.fault
