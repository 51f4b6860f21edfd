"""One load: evaluates the files, finds every mistake the contracts or Nickel see, and places each in its file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from batchwright.loader import expressions, graph, messages
from batchwright.loader.evaluator import Died, Evaluator, NickelError
from batchwright.loader.expressions import Path_, Step
from batchwright.loader.harvest import OPERATIONS, WHOLE, Finding, Report
from batchwright.loader.limits import Limits
from batchwright.loader.places import at_name, explained, place_of
from batchwright.loader.scan import Place
from batchwright.loader.sources import Source, Sources
from batchwright.model.diagnostic import Diagnostic, Severity

DEATH_HINTS = {
    "too-deep": "Look for a value that contains itself, or for a very long chain of brackets.",
    "too-much-memory": "Look for a function that never ends or a list that grows without bound.",
    "too-slow": "Look for a function that never ends, or split the workflow.",
}


class Session:
    """The evaluations of one load. `diagnostics` is complete when `workflow` has returned."""

    def __init__(self, sources: Sources, evaluator: Evaluator, inputs: Mapping[str, str], providers: Sequence[str]):
        self.diagnostics: list[Diagnostic] = []
        self._sources = sources
        self._evaluator = evaluator
        self._limits: Limits = sources.limits
        self._schema = sources.schema_folder / "workflows.ncl"
        self._providers = providers
        self._files = [source.path for source in sources.main]
        self._raw = expressions.merged(self._files, inputs)
        self._deadline = 0.0

    def tree(self) -> dict[str, Any] | None:
        """The workflow as plain values, None when there is a mistake."""
        try:
            report = self._report()
        except Died as death:
            self.diagnostics.append(told_death(death, self._sources))
            return None
        if report is not None:
            self._judge(report)
        if report is None or report.tree is None or any(found.severity is Severity.ERROR for found in self.diagnostics):
            return None
        tree: dict[str, Any] = report.tree["batch_workflow"]
        return tree

    # ---- what the contracts say ------------------------------------------------------------------------------------

    def _report(self) -> Report | None:
        """The contracts' report, of what is left when an expression in the files cannot be evaluated."""
        try:
            return Report(self._evaluator.run(expressions.checked(self._raw, self._schema, self._providers)))
        except NickelError as error:
            self._deadline = time.monotonic() + self._limits.search_seconds
            return self._report_around(error)

    def _report_around(self, error: NickelError) -> Report | None:
        first, final = explained(error, self._sources)
        if final:
            self._check_each_file(first)
            return None
        try:
            if masked := self._masked():
                return Report(self._evaluator.run(self._checked_without(masked)))
        except (NickelError, Died):
            pass
        if not self.diagnostics:
            self.diagnostics.append(first)
        return None

    def _masked(self) -> list[Path_]:
        """The paths of the values that cannot be evaluated; each is told."""
        masked = []
        for path, error in self._broken(WHOLE):
            diagnostic, _ = explained(error, self._sources)
            masked.append(path)
            if diagnostic not in self.diagnostics:
                self.diagnostics.append(diagnostic)
        return masked

    def _checked_without(self, masked: Sequence[Path_]) -> str:
        return expressions.checked(self._raw, self._schema, self._providers, masked)

    def _check_each_file(self, first: Diagnostic) -> None:
        """A file that cannot be parsed hides the others: look at each by itself."""
        found = [first]
        for source in self._sources.nickel():
            if source.shown == first.file or self._is_over():
                continue
            try:
                self._evaluator.run(expressions.imported(source.path))
            except NickelError as error:
                diagnostic, _ = explained(error, self._sources)
                if diagnostic not in found:
                    found.append(diagnostic)
            except Died as death:
                found.append(replace(first, code=death.code, message=death.message, hint="", file=source.shown))
                break
        self.diagnostics += found

    def _broken(self, path: Path_) -> Iterator[tuple[Path_, NickelError]]:
        """The innermost values at or under `path` that cannot be evaluated, each with its error."""
        try:
            shape = msgspec.json.decode(self._evaluator.run(expressions.children(self._raw, path)))
        except NickelError as error:
            yield path, error
            return
        steps: list[Step] = list(range(shape)) if isinstance(shape, int) else list(shape or [])
        groups = [steps]
        while groups and len(self.diagnostics) < self._limits.diagnostics and not self._is_over():
            group = groups.pop()
            if not group or self._is_sound(path, group):
                continue
            if len(group) == 1:
                yield from self._broken((*path, *group))
            else:
                middle = len(group) // 2
                groups += [group[middle:], group[:middle]]

    def _is_sound(self, path: Path_, group: Sequence[Step]) -> bool:
        try:
            self._evaluator.run(expressions.forced(self._raw, path, group))
        except NickelError:
            return False
        return True

    # ---- where it stands -------------------------------------------------------------------------------------------

    def _judge(self, report: Report) -> None:
        """Tell every finding of the report, and what is found in the workflow as a whole."""
        findings = report.findings
        operations = report.operations
        if len(operations) > self._limits.operations:
            message = f"{len(operations)} operations; a workflow may have {self._limits.operations}"
            findings.append(Finding(OPERATIONS, "too-many-operations", message))
        findings += graph.cycles(operations)
        self._deadline = self._deadline or time.monotonic() + self._limits.search_seconds
        told = 0
        for finding in _once(findings):
            if len(self.diagnostics) >= self._limits.diagnostics or self._is_over():
                break
            self._tell(report, finding)
            told += 1
        self.diagnostics.sort(key=lambda item: (self._sources.rank(item.file), item.line, item.column))
        if left := len(_once(findings)) - told:
            first = self._sources.main[0].shown
            message = f"and {left} more; correct these first"
            worst = min((finding.severity for finding in _once(findings)[told:]), default=Severity.ERROR)
            self.diagnostics.append(Diagnostic("more-mistakes", message, worst, file=first, line=1, column=1))

    def _tell(self, report: Report, finding: Finding) -> None:
        source, place = self._place(report.written(finding.path), finding.at_name)
        self.diagnostics.append(
            Diagnostic(
                finding.code,
                finding.message,
                finding.severity,
                file=source.shown,
                line=place.line,
                column=place.column,
                hint=finding.hint,
                notes=finding.notes,
                where=report.operation(finding.path),
            )
        )

    def _place(self, path: Path_, name: bool) -> tuple[Source, Place]:
        """Where the value at `path` stands. One that was merged from several files is looked for in each."""
        alone = [expressions.merged([file], {}) for file in self._files]
        for raw in [self._raw, *(alone if len(alone) > 1 else [])]:
            try:
                self._evaluator.run(expressions.located(raw, path))
            except NickelError as error:
                if found := place_of(messages.parse(error.args[0]), self._sources):
                    source, place = found
                    return source, at_name(source, place, str(path[-1])) if name else place
            except Died:
                break
        return self._sources.main[0], Place(1, 1)

    def _is_over(self) -> bool:
        return time.monotonic() > self._deadline


def told_death(death: Died, sources: Sources) -> Diagnostic:
    """That the evaluator gave up, as a diagnostic."""
    hint = DEATH_HINTS.get(death.code, "")
    return Diagnostic(death.code, death.message, file=sources.main[0].shown, line=1, column=1, hint=hint)


def _once(findings: Sequence[Finding]) -> list[Finding]:
    """Errors as they are; of equal warnings the first, with a note how often it was met."""
    kept: dict[object, Finding] = {}
    count: dict[object, int] = {}
    for number, finding in enumerate(findings):
        is_warning = finding.severity is Severity.WARNING
        key = (finding.code, finding.message) if is_warning else number
        kept.setdefault(key, finding)
        count[key] = count.get(key, 0) + 1
    return [
        replace(finding, notes=(*finding.notes, f"So in {count[key]} places.")) if count[key] > 1 else finding
        for key, finding in kept.items()
    ]
