"""The command `rehearse`: carries a file through crashes and faults in a simulated world, and reports."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from batchwright.app.rehearsal import RehearsalOptions
from batchwright.app.rehearsal import rehearse as carry_through
from batchwright.app.system_clock import SystemClock
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import (
    Catalogues,
    EnvironmentName,
    FileArgument,
    Inputs,
    Json,
    NoColor,
    Overlays,
    Replace,
    Retire,
    StateDir,
    settings_of,
    source_of,
)
from batchwright.cli.output import note, print_json, say, show_diagnostics, show_error, tally
from batchwright.errors import UsageError
from batchwright.views.rehearsal_ci import rehearsal_annotations, rehearsal_junit
from batchwright.views.rehearsal_html import rehearsal_html
from batchwright.views.rehearsal_text import rehearsal_lines

Faults = Annotated[
    str | None,
    typer.Option("--faults", metavar="A,B", help="Only these faults; docs/rehearsal.md lists them."),
]
Seconds = Annotated[
    float | None,
    typer.Option(
        "--seconds", min=0.1, help="Use all of this time. Default: until everything is explored once, 60 s at most."
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="What is random comes from this number.")]
At = Annotated[
    str | None, typer.Option("--at", metavar="POINT", help="Only this: SUBJECT VERB:FAULT, as a report writes it.")
]
Against = Annotated[
    str | None,
    typer.Option("--against", metavar="ENV", help="Begin with what this environment has now; it is only read."),
]
Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write the report to one HTML file that opens offline.")
]
Junit = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML, for CI.")]
Annotations = Annotated[
    bool, typer.Option("--annotations", help="Print annotations for the lines of a pull request (GitHub Actions).")
]


def rehearse(
    file: FileArgument,
    faults: Faults = None,
    seconds: Seconds = None,
    seed: Seed = 1,
    at: At = None,
    against: Against = None,
    env: EnvironmentName = None,
    retire: Retire = False,
    replace: Replace = None,
    overlay: Overlays = None,
    inputs: Inputs = None,
    catalogue: Catalogues = None,
    state_dir: StateDir = None,
    html: Html = None,
    junit: Junit = None,
    annotations: Annotations = False,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Show what would happen if anything went wrong on the way: crashes and faults everywhere. Nothing is changed."""
    if json and annotations:
        raise UsageError("--json and --annotations are two forms of one output", hint="Give one of them.")
    settings, clock = settings_of(state_dir, catalogue), SystemClock()
    source = source_of(file, overlay, inputs, env, retire=retire, replace=replace)
    words = tuple(part.strip() for part in (faults or "").split(",") if part.strip())
    given = {"--overlay": overlay, "--set": inputs, "--against": against, "--env": env, "--replace": replace}
    command = _command(file, {**given, "--catalogue": catalogue, "--state-dir": state_dir}, retire=retire)
    options = RehearsalOptions(words, seconds, seed, at or "", against or "", 0, command)
    answer = carry_through(settings, clock, source, options)
    report = answer.report
    if report is None:
        if json:
            show_error(answer.planned.refusal(), json=True, diagnostics=answer.planned.diagnostics)
            return Exit.COULD_NOT
        show_diagnostics(answer.planned.diagnostics)
        note(f"nothing to rehearse: {tally(answer.planned.diagnostics)}")
        return Exit.COULD_NOT
    _write(html, rehearsal_html(report) if html else "", "--html")
    _write(junit, rehearsal_junit(report) if junit else "", "--junit")
    if json:
        print_json(report)
    elif annotations:
        for line in rehearsal_annotations(report):
            say(line)
    else:
        for line in rehearsal_lines(report):
            say(line)
    if not report.self_check.found:
        note("error: the rehearsal did not find the bug that it had planted in itself, so it proves nothing", "red")
        return Exit.COULD_NOT
    return Exit.OK if report.ok else Exit.NO


def _write(file: Path | None, text: str, option: str) -> None:
    if file is not None:
        try:
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{option} {file}: {error.strerror}", hint="Name a file that can be written.") from error


def _command(file: Path, given: Mapping[str, object], *, retire: bool) -> tuple[str, ...]:
    """The words that rehearse the file in the same way."""
    words = [os.fspath(file), *(["--retire"] if retire else [])]
    for option, values in given.items():
        for value in values if isinstance(values, list) else [values] if values is not None else []:
            words += [option, str(value)]
    return tuple(words)
