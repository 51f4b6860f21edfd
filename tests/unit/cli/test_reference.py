"""docs/commands.md tells every command, option and exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchwright.cli import main as entry
from batchwright.cli.codes import Exit

REFERENCE = (Path(__file__).parents[3] / "docs" / "commands.md").read_text()
COMMANDS = entry.command.commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_is_told(name: str) -> None:
    assert f"| `{name}" in REFERENCE or f"`, `{name}" in REFERENCE or f", `{name} [" in REFERENCE
    for parameter in COMMANDS[name].params:
        for option in (one for one in parameter.opts if one.startswith("--") and one != "--help"):
            assert f"`{option}" in REFERENCE, f"{name} {option}"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_json_and_no_color(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert {"--json", "--no-color"} <= options
    assert ("--state-dir" in options) == (name not in ("validate", "providers", "taskservs"))


@pytest.mark.parametrize("code", list(Exit))
def test_every_exit_code_is_told(code: Exit) -> None:
    assert f"\n| {code.value} | " in REFERENCE
