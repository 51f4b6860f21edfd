"""From a file to a Workflow, or to everything that is wrong with the file. Nothing but the files is looked at."""

from __future__ import annotations

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
