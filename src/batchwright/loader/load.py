"""From a file to a Workflow, or to everything that is wrong with the file. Nothing but the files is looked at."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from batchwright.loader import inputs as given
from batchwright.loader.evaluator import Died, Evaluator, NickelError
from batchwright.loader.limits import LOCAL, UNTRUSTED, Limits
from batchwright.loader.session import Session, told_death
from batchwright.loader.sources import Sources, schema_folder
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.workflow import Workflow


class Loaded(Struct, frozen=True):
    """The outcome of a load. `workflow` is None exactly when one of the diagnostics is an error."""

    workflow: Workflow | None
    diagnostics: tuple[Diagnostic, ...] = ()


def load(
    file: Path,
    *,
    overlays: Sequence[Path] = (),
    inputs: Mapping[str, str] = {},
    limits: Limits = LOCAL,
    providers: Iterable[str] = (),
) -> Loaded:
    """Load a workflow file with overlays merged over it and inputs set.

    `providers` are names besides those of the schema. Raises FileUnreadable, EvaluatorUnavailable.
    """
    sources = Sources(limits, schema_folder())
    for path in (file, *overlays):
        sources.add(path)
    return _load(sources, inputs, tuple(providers))


def load_source(
    text: str,
    name: str,
    *,
    inputs: Mapping[str, str] = {},
    limits: Limits = UNTRUSTED,
    providers: Iterable[str] = (),
) -> Loaded:
    """Load a text that is no file here. The end of `name` says the format: .ncl, .json, .yaml. Raises as `load`."""
    suffix = Path(name).suffix
    with tempfile.TemporaryDirectory(prefix="batchwright-") as folder:
        path = Path(folder, "workflow").with_suffix(suffix)
        path.write_text(text, encoding="utf-8", newline="")
        sources = Sources(limits, schema_folder())
        sources.add(path, shown=name)
        return _load(sources, inputs, tuple(providers))


def _load(sources: Sources, inputs: Mapping[str, str], providers: Sequence[str]) -> Loaded:
    if sources.problems:
        return Loaded(None, tuple(sources.problems))
    loaded = _evaluate(sources, inputs, providers)
    if _undefined(loaded, sources):
        return _behind_undefined_names(loaded, sources, inputs, providers)
    return loaded


def _evaluate(sources: Sources, inputs: Mapping[str, str], providers: Sequence[str]) -> Loaded:
    with Evaluator(sources.limits, sources.roots) as evaluator:
        try:
            values = given.values(evaluator, sources, inputs)
        except given.Refused as refused:
            return Loaded(None, refused.diagnostics)
        except NickelError:
            values = {}  # the files themselves are broken: the session tells how
        except Died as death:
            return Loaded(None, (told_death(death, sources),))
        session = Session(sources, evaluator, values, providers)
        tree = session.tree()
    workflow = None if tree is None else msgspec.convert(tree, Workflow)
    return Loaded(workflow, tuple(session.diagnostics))


def _undefined(loaded: Loaded, sources: Sources) -> tuple[str, Diagnostic] | None:
    """The name in the file itself that nobody defines, with its diagnostic."""
    file = sources.main[0]
    for found in loaded.diagnostics:
        if found.code == "unbound-name" and found.file == file.shown:
            name = re.match(r"[A-Za-z_][\w'-]*", file.line(found.line)[found.column - 1 :])
            return (name.group(), found) if name else None
    return None


def _behind_undefined_names(
    loaded: Loaded, sources: Sources, inputs: Mapping[str, str], providers: Sequence[str]
) -> Loaded:
    """What else is wrong: a name that nobody defines hides the rest of its file, so define it and look again."""
    found: dict[str, Diagnostic] = {}
    with tempfile.TemporaryDirectory(prefix="batchwright-") as folder:
        while (undefined := _undefined(loaded, sources)) and len(found) < sources.limits.undefined_names:
            name, diagnostic = undefined
            if name in found:
                break
            found[name] = diagnostic
            copy = sources.defining(list(found), Path(folder))
            if copy is None:
                return loaded
            loaded = _evaluate(copy, inputs, providers)
    lines = {(diagnostic.file, diagnostic.line) for diagnostic in found.values()}
    others = [other for other in loaded.diagnostics if (other.file, other.line) not in lines]
    return Loaded(
        None, tuple(sorted([*found.values(), *others], key=lambda one: (sources.rank(one.file), one.line, one.column)))
    )
