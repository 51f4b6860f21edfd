"""The command `validate`: checks a workflow file."""

from __future__ import annotations

from collections.abc import Sequence

from batchwright.app.planned import ValidationAnswer
from batchwright.app.plans import anchored, check
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import (
    Catalogues,
    FileArgument,
    Inputs,
    Json,
    NoColor,
    Overlays,
    settings_of,
    source_of,
)
from batchwright.cli.output import print_json, say, show_diagnostics, tally
from batchwright.model.diagnostic import Diagnostic
from batchwright.views.definition import definition
from batchwright.views.text_format import counted


def validate(
    file: FileArgument,
    overlay: Overlays = None,
    inputs: Inputs = None,
    catalogue: Catalogues = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Check a workflow file and report every mistake with its position. Nothing is contacted."""
    loaded = check(source_of(file, overlay, inputs), settings_of(None, catalogue))
    ok = loaded.workflow is not None
    if json:
        found = definition(anchored(loaded, file.parent)) if loaded.workflow else None
        print_json(ValidationAnswer(ok, found, tuple(loaded.diagnostics)))
        return Exit.OK if ok else Exit.NO
    show_diagnostics(loaded.diagnostics)
    if loaded.workflow is not None:
        checked = loaded.workflow
        operations = counted(len(checked.operations), "operation")
        say(f"{file} is valid: {checked.name} {checked.version}, {operations}{_also(loaded.diagnostics)}")
    else:
        say(f"{file} is not valid: {tally(loaded.diagnostics)}")
    return Exit.OK if ok else Exit.NO


def _also(diagnostics: Sequence[Diagnostic]) -> str:
    return f", {counted(len(diagnostics), 'warning')}" if diagnostics else ""
