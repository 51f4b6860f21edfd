"""The options that several commands share, each defined once."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from batchwright.app import key_values
from batchwright.app.key_values import pairs_of as pairs_of
from batchwright.app.settings import Settings, settings_from
from batchwright.app.workflow_source import Source
from batchwright.cli import completion
from batchwright.errors import UsageError
from batchwright.fleet.configured_carrier import with_carrier
from batchwright.model.environment import NAME_PATTERN
from batchwright.model.scalar import Scalar
from batchwright.views.text_format import span


def _no_color(value: bool) -> bool:
    if value:
        os.environ["NO_COLOR"] = "1"  # Rich reads this whenever a console is created
    return value


OnlyCheck = Annotated[
    bool,
    typer.Option("--check", help="Show what the installs would change on existing servers, and change nothing."),
]
RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run id, a unique prefix of one, `latest`, or an environment for its newest run.",
        show_default=False,
        autocompletion=completion.runs,
    ),
]
FileArgument = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="The workflow: .ncl, .json or .yaml.", autocompletion=completion.files),
]
PlanOrFileArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="A workflow (.ncl, .json, .yaml) or a plan file.", autocompletion=completion.files
    ),
]
StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state-dir", help="Where runs are recorded; default: BATCHWRIGHT_STATE_DIR, then the XDG state folder."
    ),
]
Catalogues = Annotated[
    list[Path] | None,
    typer.Option("--catalogue", metavar="DIR", help="A folder with your own task services; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print only JSON on stdout.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="No colours; NO_COLOR does the same.", callback=_no_color)]
Overlays = Annotated[
    list[Path] | None,
    typer.Option(
        "--overlay",
        metavar="FILE",
        help="Merge this over the file; may be repeated.",
        autocompletion=completion.files,
    ),
]
Inputs = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set an input of the file; may be repeated.")
]
Simulate = Annotated[
    bool, typer.Option("--simulate", help="Simulate every provider: create nothing real, need no credentials.")
]
Sim = Annotated[
    list[str] | None,
    typer.Option(
        "--sim", metavar="KEY=VALUE", help="A setting of the simulation, such as transient=0.2; implies --simulate."
    ),
]


Wait = Annotated[
    float,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        min=0,
        help="How long to wait for another run that is changing the environment.",
    ),
]
Retire = Annotated[bool, typer.Option("--retire", help="Destroy what the file no longer asks for, last of all.")]
Replace = Annotated[
    list[str] | None,
    typer.Option(
        "--replace",
        metavar="NAME",
        help="Allow this server, or `all`, to be stopped and changed, or destroyed and created anew. Repeatable.",
    ),
]
Reinstall = Annotated[
    list[str] | None,
    typer.Option(
        "--reinstall",
        metavar="NAME",
        help="Install this task service, all on this server, or `all` again, although nothing changed. Repeatable.",
    ),
]
Adopt = Annotated[
    list[str] | None,
    typer.Option(
        "--adopt",
        metavar="NAME",
        help="Take over this server, which a run of another store created and no one uses there. Repeatable.",
    ),
]
OtherAccount = Annotated[
    bool,
    typer.Option(
        "--other-account",
        help="Go on in another account of a provider. Servers in the former one stay there and are not reached.",
    ),
]
EnvironmentName = Annotated[
    str | None,
    typer.Option("--env", metavar="NAME", help="Which environment of the workflow, instead of the one in the file."),
]


def settings_of(state_dir: Path | None, catalogues: Sequence[Path] | None = None) -> Settings:
    """The settings, with the state folder and catalogues given on the command line."""
    return equipped(settings_from(os.environ, state_dir, catalogues or ()))


def equipped(settings: Settings) -> Settings:
    """The settings, with what carries calls to places."""
    return settings if settings.temporal is None else with_carrier(settings)


def source_of(
    file: Path,
    overlays: Sequence[Path] | None,
    inputs: Sequence[str] | None,
    environment: str | None = None,
    *,
    retire: bool = False,
    replace: Sequence[str] | None = None,
    reinstall: Sequence[str] | None = None,
    adopt: Sequence[str] | None = None,
    other_account: bool = False,
) -> Source:
    """What the user named to be loaded. Raises UsageError."""
    if environment is not None and not re.fullmatch(NAME_PATTERN, environment):
        hint = "Write 1 to 63 letters, digits, - _ and ., beginning with a letter or a digit."
        raise UsageError(f"--env {environment} is not a name", hint=hint)
    return Source(
        file,
        tuple(overlays or ()),
        pairs_of("--set", inputs),
        environment or "",
        retire,
        tuple(replace or ()),
        tuple(reinstall or ()),
        tuple(adopt or ()),
        other_account,
    )


def simulation_of(simulate: bool, pairs: Sequence[str] | None) -> dict[str, Scalar] | None:
    """The settings of the simulation; None if nothing is simulated. Raises UsageError."""
    if not simulate and not pairs:
        return None
    return key_values.settings_of("--sim", pairs)


def window(text: str, option: str = "--since") -> float:
    """`90s`, `30m`, `24h`, `7d` in seconds. Raises UsageError."""
    try:
        return span(text)
    except ValueError as error:
        hint = f"Use a number followed by s, m, h or d: {option} 24h"
        raise UsageError(f"{option} {error}", hint=hint) from error
