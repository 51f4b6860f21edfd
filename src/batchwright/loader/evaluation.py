"""One load: evaluates the files, finds every mistake that the contracts or Nickel see, and finds its position."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchwright.errors import ProviderUnavailable
from batchwright.loader import (
    cycles,
    nickel_expressions,
    nickel_message_parser,
    nickel_scanner,
    reference_checks,
    taskserv_checks,
    value_format_checks,
)
from batchwright.loader.contract_report import OPERATIONS, WHOLE, PathDiagnostic, Report, as_written
from batchwright.loader.evaluator_client import EvaluationLimitExceeded, Evaluator, NickelError
from batchwright.loader.limits import LoaderLimits
from batchwright.loader.nickel_diagnostics import at_name, below, explained, place_of
from batchwright.loader.nickel_expressions import Path_, Step
from batchwright.loader.nickel_scanner import Position
from batchwright.loader.sources import SourceFile, Sources
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.taskserv import Taskserv

DEATH_HINTS = {
    "too-deep": "Look for a value that contains itself, or for a very long chain of brackets.",
    "too-much-memory": "Look for a function that never ends or a list that grows without bound.",
    "too-slow": "Look for a function that never ends, or split the workflow.",
    "too-large": "Look for a text or a list that grows without bound, or split the workflow.",
    "evaluator-failed": "This is a bug in Batchwright or in Nickel. Please report it with the file.",
}


class FileContract(Struct, frozen=True):
    """The file of schemas/ whose `File` is the contract, and the field that holds all there is."""

    schema: str
    whole: Path_


WORKFLOW = FileContract("workflows.ncl", WHOLE)

TOO_DEEP = EvaluationLimitExceeded("too-deep", "it is nested too deeply, or refers to itself endlessly")


class Evaluation:
    """The evaluations of one load. `diagnostics` is complete when `tree` has returned."""

    def __init__(
        self,
        sources: Sources,
        evaluator: Evaluator,
        inputs: Mapping[str, str],
        providers: Mapping[str, Path | None],
        catalogue: Mapping[str, Taskserv] | None = None,
        contract: FileContract = WORKFLOW,
    ) -> None:
        self.diagnostics: list[Diagnostic] = []
        self._sources = sources
        self._evaluator = evaluator
        self._limits: LoaderLimits = sources.limits
        self._schema = sources.schema_folder / contract.schema
        self._whole = contract.whole
        self._providers = providers
        self._catalogue = catalogue
        self._inputs = inputs
        self._raw = nickel_expressions.merged([source.content for source in sources.main], inputs)
        self._deadline = 0.0

    def tree(self, judge: Callable[[dict[str, Any]], Sequence[PathDiagnostic]] | None = None) -> dict[str, Any] | None:
        """All there is as plain values, None if it has mistakes. `judge` checks what has no mistakes so far."""
        try:
            report = self._report()
        except EvaluationLimitExceeded as death:
            self.diagnostics.append(told_death(death, self._sources))
            return None
        if report is not None:
            self._judge(report)
        if report is None or report.tree is None or self._has_errors():
            return None
        tree: dict[str, Any] = report.tree[str(self._whole[0])]
        if judge is not None:
            self._tell_all(report, judge(tree))
        return None if self._has_errors() else tree

    def _has_errors(self) -> bool:
        return any(found.severity is Severity.ERROR for found in self.diagnostics)

    # ---- what the contracts say ------------------------------------------------------------------------------------

    def _report(self) -> Report | None:
        """The contracts' report, of what is left when an expression in the files cannot be evaluated."""
        try:
            return self._checked(self._raw)
        except NickelError as error:
            self._refuse_contract(error)
            self._deadline = time.monotonic() + self._limits.search_seconds
            return self._report_around(error)

    def _refuse_contract(self, error: NickelError) -> None:
        """Raise ProviderUnavailable where it is a plug-in's contract that cannot be evaluated, not the user's files."""
        message = nickel_message_parser.parse(error.args[0])
        at_fault = message.frames[0].file if message.frames else ""
        for name, contract in self._providers.items():
            if at_fault == str(contract):
                raise ProviderUnavailable(
                    f"the plug-in for the provider {name} has a contract that cannot be used: {message.title}",
                    hint=f"Install a version that fits this Batchwright, or remove it: {contract}",
                )

    def _checked(self, raw: str) -> Report:
        mark, limits = self._sources.mark, self._limits
        body = self._evaluator.run(nickel_expressions.checked(raw, self._schema, self._providers, mark))
        if body.count(b",") > limits.nodes:
            raise EvaluationLimitExceeded("too-large", f"the workflow has more than {limits.nodes} values")
        return Report(body, mark, limits.depth)

    def _without(self, masked: Sequence[Path_]) -> str:
        return nickel_expressions.without(self._raw, masked, self._sources.mark)

    def _report_around(self, error: NickelError) -> Report | None:
        first, final = explained(error, self._sources)
        if final:
            self._check_each_file(first)
            return None
        try:
            masked = self._masked(error)
            return self._checked(self._without(masked))
        except (NickelError, EvaluationLimitExceeded):  # no report; what was found so far is reported
            self.diagnostics = self.diagnostics or [first]
            return None

    def _masked(self, error: NickelError) -> list[Path_]:
        """The paths of the values that cannot be evaluated; each becomes a diagnostic."""
        masked: list[Path_] = []
        while len(masked) < self._limits.diagnostics and not self._is_over():
            found = [one for one in self._broken_at(error) if one[0] not in masked]
            for path, reason in found or self._broken(self._whole):
                masked.append(path)
                diagnostic, _ = explained(reason, self._sources)
                if diagnostic not in self.diagnostics:
                    self.diagnostics.append(diagnostic)
            if not found:
                break  # that was all there is
            try:
                self._evaluator.run(nickel_expressions.forced(self._without(masked), (), self._whole))
            except NickelError as next_error:
                error = next_error
            else:
                break
        return masked

    def _broken_at(self, error: NickelError) -> list[tuple[Path_, NickelError]]:
        """What is broken at the path that the source shows at the error's place: right where nothing is computed."""
        found = place_of(nickel_message_parser.parse(error.args[0]), self._sources)
        path = nickel_scanner.path_at(found[0].text, found[1]) if found and found[1].line > 0 else ()
        return list(self._broken(path)) if len(path) > len(self._whole) else []

    def _check_each_file(self, first: Diagnostic) -> None:
        """A file that cannot be parsed hides the others: look at each by itself."""
        found = [first]
        for source in self._sources.nickel():
            if source.shown == first.file or self._is_over():
                continue
            try:
                self._evaluator.run(nickel_expressions.imported(source.path, source.form))
            except NickelError as error:
                diagnostic, _ = explained(error, self._sources)
                if diagnostic not in found:
                    found.append(diagnostic)
            except EvaluationLimitExceeded as death:
                found.append(replace(first, code=death.code, message=death.message, hint="", file=source.shown))
                break
        self.diagnostics += found

    def _broken(self, path: Path_) -> Iterator[tuple[Path_, NickelError]]:
        """The innermost values at or under `path` that cannot be evaluated, each with its error."""
        try:
            shape = msgspec.json.decode(self._evaluator.run(nickel_expressions.children(self._raw, path)))
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
            self._evaluator.run(nickel_expressions.forced(self._raw, path, group))
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
            findings.append(PathDiagnostic(OPERATIONS, Diagnostic("too-many-operations", message)))
        findings += cycles.cycles(operations)
        findings += value_format_checks.mistaken(operations)
        if report.has_references:
            findings += reference_checks.mistaken(operations)
        if self._catalogue is not None:
            findings += taskserv_checks.mistaken(operations, self._catalogue)
        self._tell_all(report, findings)

    def _tell_all(self, report: Report, findings: Sequence[PathDiagnostic]) -> None:
        """Each with its place, as many as the limits allow."""
        self._deadline = time.monotonic() + self._limits.search_seconds
        pending = _once(findings)
        while pending and len(self.diagnostics) < self._limits.diagnostics and not self._is_over():
            self._tell(report, pending.pop(0))
        self.diagnostics.sort(key=lambda item: (self._sources.rank(item.file), item.line, item.column))
        if pending:
            message = f"and {len(pending)} more; correct these first"
            first = self._sources.main[0].shown
            self.diagnostics.append(
                Diagnostic(
                    "more-mistakes", message, severity=pending[0].diagnostic.severity, file=first, line=1, column=1
                )
            )

    def _tell(self, report: Report, finding: PathDiagnostic) -> None:
        source, place = self._place(report.written(finding.path), finding.at_name)
        diagnostic = replace(
            finding.diagnostic,
            message=as_written(finding.diagnostic.message, source.line(place.line)[place.column - 1 :]),
            file=source.shown,
            line=place.line,
            column=place.column,
            where=report.operation(finding.path),
        )
        # what a function makes many times is wrong once
        if all(replace(other, where="") != replace(diagnostic, where="") for other in self.diagnostics):
            self.diagnostics.append(diagnostic)

    def places(self, paths: Sequence[Path_]) -> list[tuple[SourceFile, Position]]:
        """The positions of these paths of the workflow, as many as the limits allow.

        Raises NickelError, EvaluationLimitExceeded.
        """
        report = self._checked(self._raw)
        self._deadline = time.monotonic() + self._limits.search_seconds
        found = []
        for path in paths[: self._limits.diagnostics]:
            if self._is_over():
                break
            found.append(self._place(report.written(path), False))
        return found

    def _place(self, path: Path_, name: bool) -> tuple[SourceFile, Position]:
        """The position of the value at `path`, or with `name` that of its field's name.

        A record that was merged from several files is looked up in each. A computed value has no position: then the
        field's name, in the surrounding record, is shown.
        """
        files = [nickel_expressions.content(source.path, source.form) for source in self._sources.main]
        whole = [nickel_expressions.merged(files, self._inputs), *(files if len(files) > 1 else [])]
        for length in range(len(path), -1, -1):
            for raw in whole:
                if found := self._found(raw, path[:length]):
                    source, place = found
                    if length < len(path):
                        return source, below(source, place, str(path[length]))
                    return source, at_name(source, place, str(path[-1])) if name else place
        return self._sources.main[0], Position(1, 1)

    def _found(self, raw: str, path: Path_) -> tuple[SourceFile, Position] | None:
        try:
            self._evaluator.run(nickel_expressions.located(raw, path))
        except NickelError as error:
            return place_of(nickel_message_parser.parse(error.args[0]), self._sources)
        except EvaluationLimitExceeded:
            return None
        raise AssertionError("locating ends in an error")

    def _is_over(self) -> bool:
        return time.monotonic() > self._deadline


def told_death(death: EvaluationLimitExceeded, sources: Sources) -> Diagnostic:
    """The diagnostic for an evaluation that exceeded a limit."""
    hint = DEATH_HINTS.get(death.code, "")
    return Diagnostic(death.code, death.message, file=sources.main[0].shown, line=1, column=1, hint=hint)


def _once(findings: Sequence[PathDiagnostic]) -> list[PathDiagnostic]:
    """Errors as they are, then the first of equal warnings, with a note that counts them."""
    errors = [one for one in findings if one.diagnostic.severity is Severity.ERROR]
    warnings: dict[tuple[str, str], list[PathDiagnostic]] = {}
    for one in findings:
        if one.diagnostic.severity is Severity.WARNING:
            warnings.setdefault((one.diagnostic.code, one.diagnostic.message), []).append(one)
    return errors + [same[0] if len(same) == 1 else _counted(same) for same in warnings.values()]


def _counted(same: Sequence[PathDiagnostic]) -> PathDiagnostic:
    first = same[0].diagnostic
    return replace(same[0], diagnostic=replace(first, notes=(*first.notes, f"This occurs in {len(same)} places.")))
