"""docs/commands.md tells every command, option and exit code, docs/errors.md every error."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


SERVERS = {name for name in COMMANDS if name in ("serve", "worker", "mcp", "emulate")}
ERRORS = [one for _, one in inspect.getmembers(errors, inspect.isclass) if one.code not in ("error", "store")]


def options_of(name: str) -> set[str]:
    return {one for parameter in COMMANDS[name].params for one in parameter.opts if one.startswith("--")}


def test_every_command_and_option_is_told() -> None:
    assert len(COMMANDS) > 30
    places = {name: (f"| `{name}", f"`, `{name}", f", `{name} [") for name in COMMANDS}
    assert [name for name, forms in places.items() if not any(form in REFERENCE for form in forms)] == []
    options = {(name, option) for name in COMMANDS for option in options_of(name) - {"--help"}}
    assert {(name, option) for name, option in options if f"`{option}" not in REFERENCE} == set()


def test_every_command_has_json_and_no_color() -> None:
    commands = COMMANDS.keys() - SERVERS
    assert {name for name in commands if not {"--json", "--no-color"} <= options_of(name)} == set()
    stateless = {
        n
        for n in commands
        if n in ("validate", "providers", "policy check", "schema", "examples", "version", "man")
        or n.startswith(("taskservs", "local base ", "new "))
    }
    assert {name for name in commands if "--state-dir" not in options_of(name)} == stateless


def test_every_exit_code_is_told() -> None:
    assert [code for code in Exit if f"\n| {code.value} | " not in REFERENCE] == []


def test_every_error_is_told() -> None:
    assert len(ERRORS) > 50
    meaning = {e.code: " ".join((e.__doc__ or "").split("\n\n")[0].split()) for e in ERRORS}
    rows = {e.code: f"| `{e.code}` | {meaning[e.code]} | {e.hint} |" for e in ERRORS}
    assert {code for code, row in rows.items() if row not in ERROR_REFERENCE} == set()
