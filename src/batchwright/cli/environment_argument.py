"""The argument of a command that works on a whole environment: its name, or the workflow file it belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from batchwright.app.settings import Settings
from batchwright.cli import completion
from batchwright.cli.options import source_of
from batchwright.cli.output import show_diagnostics
from batchwright.model.environment import SIMULATED

EnvironmentArgument = Annotated[
    str,
    typer.Argument(
        metavar="ENV",
        help="An environment's name, or the workflow file it belongs to.",
        autocompletion=completion.environments,
    ),
]
SUFFIXES = (".ncl", ".json", ".yaml", ".yml")


def environment_word(word: str, env: str | None, settings: Settings, *, simulate: bool) -> str:
    """The name of the environment, as every client takes it. Raises WorkflowInvalid, after its mistakes are shown."""
    name = _name(word, env, settings)
    return f"{SIMULATED}:{name}" if simulate and ":" not in name else name


def _name(word: str, env: str | None, settings: Settings) -> str:
    """The environment of a workflow file, or the one with this name."""
    if not word.endswith(SUFFIXES) or not Path(word).exists():
        return f"{word}/{env}" if env else word
    from batchwright.app.planned import workflow_invalid  # here, as most name an environment, and need no loader
    from batchwright.app.plans import check

    loaded = check(source_of(Path(word), None, None, env), settings)
    if loaded.workflow is None:
        show_diagnostics(loaded.diagnostics)
        raise workflow_invalid(loaded.diagnostics)
    return loaded.workflow.environment_name
