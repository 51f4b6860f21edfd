"""docs/commands.md tells every command, option and exit code, docs/errors.md every error."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchwright import errors, serve
from batchwright.cli import main as entry
from batchwright.cli.exit_codes import Exit

DOCS = Path(__file__).parents[3] / "docs"
REFERENCE = (DOCS / "commands.md").read_text()
ERROR_REFERENCE = (DOCS / "errors.md").read_text()


def every(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each command by the words that are typed for it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from every(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


assert serve.serve  # registers itself
COMMANDS = dict(every(entry.command()))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_is_told(name: str) -> None:
    assert f"| `{name}" in REFERENCE or f"`, `{name}" in REFERENCE or f", `{name} [" in REFERENCE
    for parameter in COMMANDS[name].params:
        for option in (one for one in parameter.opts if one.startswith("--") and one != "--help"):
            assert f"`{option}" in REFERENCE, f"{name} {option}"


SERVERS = {name for name in COMMANDS if name == "serve" or name.startswith("emulate ")}


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - SERVERS))
def test_every_command_has_json_and_no_color(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert {"--json", "--no-color"} <= options
    stateless = name in ("validate", "providers") or name.startswith(("taskservs", "local base "))
    assert ("--state-dir" in options) == (not stateless)


@pytest.mark.parametrize("code", list(Exit))
def test_every_exit_code_is_told(code: Exit) -> None:
    assert f"\n| {code.value} | " in REFERENCE


ERRORS = [one for _, one in inspect.getmembers(errors, inspect.isclass) if one.code not in ("error", "store")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
def test_every_error_is_told(error: type[errors.BatchwrightError]) -> None:
    meaning = " ".join((error.__doc__ or "").split())
    assert f"| `{error.code}` | {meaning} | {error.hint} |" in ERROR_REFERENCE
