"""From a file to a Workflow, or to everything that is wrong with the file. Only the files are read."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from batchwright.loader import inputs as given
from batchwright.loader import plain_json
from batchwright.loader.contract_report import PathDiagnostic
from batchwright.loader.duplicate_key_checks import twice
from batchwright.loader.evaluation import TOO_DEEP, Evaluation, told_death
from batchwright.loader.evaluator_client import EvaluationLimitExceeded, Evaluator, NickelError, StartChild
from batchwright.loader.limits import LOCAL, UNTRUSTED, LoaderLimits
from batchwright.loader.nickel_expressions import Path_
from batchwright.loader.sources import Sources, schema_folder
from batchwright.loader.taskserv_checks import flattened_use
from batchwright.model.diagnostic import Diagnostic, bounded
from batchwright.model.taskserv import Taskserv
from batchwright.model.workflow import ServerConfig, Workflow
from batchwright.operations.registry import dec_hook

# On the line of an undefined name these only follow from it.
FOLLOWING = frozenset({"type-error", "evaluation-error", "contract-broken", "no-such-field"})


Judge = Callable[[Workflow], Sequence[PathDiagnostic]]  # what is wrong with a workflow beyond what a file may say


class Loaded(Struct, frozen=True):
    """The outcome of a load. `workflow` is None exactly when one of the diagnostics is an error.

    `catalogue` is what the workflow was checked against, where it is at hand.
    """

    workflow: Workflow | None
    diagnostics: tuple[Diagnostic, ...] = ()
    catalogue: Mapping[str, Taskserv] | None = None


class SourceLocation(Struct, frozen=True):
    """A position in a file, with the file's name as shown to the user."""

    file: str
    line: int
    column: int


class LoadContext(Struct, frozen=True):
    """What a load needs besides the files."""

    providers: Mapping[str, Path | None] = {}
    catalogue: Mapping[str, Taskserv] | None = None
    judge: Judge | None = None
    start: StartChild | None = None


def load(
    file: Path,
    *,
    overlays: Sequence[Path] = (),
    inputs: Mapping[str, str] = {},
    limits: LoaderLimits = LOCAL,
    providers: Mapping[str, Path | None] = {},
    catalogue: Mapping[str, Taskserv] | None = None,
    judge: Judge | None = None,
) -> Loaded:
    """Load a workflow file with overlays merged over it and inputs set.

    `providers` are those besides the schema's own, each with the file of its server contract if it has one. With a
    `catalogue`, task services are checked too. What `judge` finds in a valid workflow is reported with its position,
    like a mistake. Raises FileUnreadable, EvaluatorUnavailable, ProviderUnavailable for a broken contract.
    """
    sources = _of_files((file, *overlays), limits)
    return _load(sources, inputs, LoadContext(providers, catalogue, judge))


def locate(
    file: Path,
    paths: Sequence[Path_],
    *,
    overlays: Sequence[Path] = (),
    inputs: Mapping[str, str] = {},
    limits: LoaderLimits = LOCAL,
    providers: Mapping[str, Path | None] = {},
) -> list[SourceLocation]:
    """The positions of these paths of a loaded workflow, as many as can be found in time. Raises as `load`."""
    return _located(_of_files((file, *overlays), limits), inputs, paths, LoadContext(providers))


def locate_source(
    text: str,
    name: str,
    paths: Sequence[Path_],
    *,
    providers: Mapping[str, Path | None] = {},
    start: StartChild | None = None,
) -> list[SourceLocation]:
    """The same positions in a text that is not a file. Raises as `load`."""
    with _of_text(text, name, UNTRUSTED) as sources:
        return _located(sources, {}, paths, LoadContext(providers, start=start))


def _located(
    sources: Sources, inputs: Mapping[str, str], paths: Sequence[Path_], known: LoadContext
) -> list[SourceLocation]:
    if sources.problems:
        return []  # it has changed since
    try:
        with _evaluator(sources, known, ["json"] if inputs else ()) as evaluator:
            values = given.values(evaluator, sources, inputs)
            session = Evaluation(sources, evaluator, values, known.providers)
            return [SourceLocation(source.shown, place.line, place.column) for source, place in session.places(paths)]
    except (EvaluationLimitExceeded, NickelError, given.InputRefused):
        return []


def _evaluator(sources: Sources, known: LoadContext, repeats: Collection[str]) -> Evaluator:
    """What evaluates these files. Contracts of plug-ins are not among the folders that a workflow may import from."""
    readable = [*sources.roots, *filter(None, known.providers.values())]
    return Evaluator(sources.limits, readable, repeats=repeats, start=known.start)


def _of_files(files: Sequence[Path], limits: LoaderLimits) -> Sources:
    sources = Sources(limits, schema_folder())
    for path in files:
        sources.add(path)
    return sources


@contextmanager
def _of_text(text: str, name: str, limits: LoaderLimits) -> Iterator[Sources]:
    with tempfile.TemporaryDirectory(prefix="batchwright-") as folder:
        path = Path(folder, "workflow").with_suffix(Path(name).suffix)
        path.write_text(text, encoding="utf-8", newline="")
        sources = Sources(limits, schema_folder())
        sources.add(path, shown=name)
        yield sources


def load_source(
    text: str,
    name: str,
    *,
    inputs: Mapping[str, str] = {},
    limits: LoaderLimits = UNTRUSTED,
    providers: Mapping[str, Path | None] = {},
    catalogue: Mapping[str, Taskserv] | None = None,
    judge: Judge | None = None,
    original: str = "",
    start: StartChild | None = None,
) -> Loaded:
    """Load a text that is not a file. The end of `name` is its format: .ncl, .json, .yaml. Raises as `load`.

    `original` is the text before decoding, in which duplicate keys are searched. `start` begins the
    evaluator.
    """
    with _of_text(text, name, limits) as sources:
        sources.original = original
        return _load(sources, inputs, LoadContext(providers, catalogue, judge, start))


def _load(sources: Sources, inputs: Mapping[str, str], known: LoadContext) -> Loaded:
    if sources.problems:
        return Loaded(None, bounded(sources.told))
    is_json = [source.form for source in sources.main] == ["json"]
    if is_json and not inputs and (plain := _plain(sources, known)) is not None:
        return Loaded(plain)
    try:
        tree, found = _evaluate(sources, inputs, known)
        if _undefined(found, sources):
            found = _behind_undefined_names(found, sources, inputs, known)
    except RecursionError:  # what Nickel can still hold may be too deep for us
        return Loaded(None, (told_death(TOO_DEEP, sources),))
    workflow = None if tree is None else _workflow(tree, known.catalogue)
    return Loaded(workflow, bounded(found, sources.limits.diagnostics))


def _plain(sources: Sources, known: LoadContext) -> Workflow | None:
    """The workflow of a JSON file that needs no evaluation, because it is plain and without a mistake."""
    tree = plain_json.certain(sources, known.providers, known.catalogue)
    if tree is None:
        return None
    workflow = _workflow(tree, known.catalogue)
    return None if known.judge is not None and known.judge(workflow) else workflow


def _workflow(tree: dict[str, Any], catalogue: Mapping[str, Taskserv] | None) -> Workflow:
    operations = [_operation(one, catalogue) for one in tree["operations"]]
    return msgspec.convert({**tree, "operations": operations}, Workflow, dec_hook=dec_hook)


def _operation(one: dict[str, Any], catalogue: Mapping[str, Taskserv] | None) -> dict[str, Any]:
    if "server_configs" in one:
        return {**one, "server_configs": [_with_options(server) for server in one["server_configs"]]}
    if "taskservs" in one:
        return {**one, "taskservs": [flattened_use(use, catalogue) for use in one["taskservs"]]}
    return one


def _with_options(server: dict[str, Any]) -> dict[str, Any]:
    """Gather what a provider's own contract lets its servers say; that they may say it has been checked."""
    server = {**server, "ssh_keys": [key.strip() for key in server.get("ssh_keys", ())]}
    own = sorted(server.keys() - set(ServerConfig.__struct_fields__))
    usual = {name: value for name, value in server.items() if name not in own}
    return {**usual, "options": {name: server[name] for name in own}}


def _evaluate(
    sources: Sources, inputs: Mapping[str, str], known: LoadContext
) -> tuple[dict[str, Any] | None, Sequence[Diagnostic]]:
    forms = {source.form for source in sources.nickel()} & {"json", "yaml"} | ({"json"} if inputs else set())
    with _evaluator(sources, known, forms) as evaluator:
        try:
            refused, doubtful = twice(evaluator, sources, inputs)
            if refused:
                return None, refused
            values = given.values(evaluator, sources, inputs)
        except given.InputRefused as refused:
            return None, refused.diagnostics
        except NickelError:
            values = {}  # the files themselves are broken: the session tells how
        except EvaluationLimitExceeded as death:
            return None, (told_death(death, sources),)
        session = Evaluation(sources, evaluator, values, known.providers, known.catalogue)
        judge = known.judge
        tree = session.tree(None if judge is None else lambda tree: judge(_workflow(tree, known.catalogue)))
        if tree is not None and doubtful:
            return None, doubtful
        return tree, session.diagnostics


def _undefined(found: Sequence[Diagnostic], sources: Sources) -> tuple[str, Diagnostic] | None:
    """The first name in the file that is not defined, with its diagnostic."""
    file = sources.main[0]
    for one in found:
        if one.code == "unbound-name" and one.file == file.shown:
            name = re.match(r"[A-Za-z_][\w'-]*", file.line(one.line)[one.column - 1 :])
            return (name.group(), one) if name else None
    return None


def _behind_undefined_names(
    found: Sequence[Diagnostic], sources: Sources, inputs: Mapping[str, str], known: LoadContext
) -> Sequence[Diagnostic]:
    """The other mistakes: an undefined name hides the rest of its file, so define it and evaluate again."""
    names: dict[str, Diagnostic] = {}
    with tempfile.TemporaryDirectory(prefix="batchwright-") as folder:
        while (undefined := _undefined(found, sources)) and len(names) < sources.limits.undefined_names:
            name, diagnostic = undefined
            copy = sources.defining([*names, name], Path(folder))
            if copy is None:
                break
            names[name] = diagnostic
            _, found = _evaluate(copy, inputs, known)
    lines = {(one.file, one.line) for one in names.values()}
    # line 0 is where the names were defined: what is wrong with that follows from them too
    others = [one for one in found if one.line > 0 and (one.code not in FOLLOWING or (one.file, one.line) not in lines)]
    return sorted({*names.values(), *others}, key=lambda one: (sources.rank(one.file), one.line, one.column))
