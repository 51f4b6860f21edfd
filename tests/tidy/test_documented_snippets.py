"""The snippets of the documentation: commands and options that it names exist, and data that it shows can be read."""

from __future__ import annotations

import ast
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from batchwright.__main__ import command_line

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "GLOSSARY.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("plugins/*/README.md")),
    *sorted(ROOT.glob("skills/**/*.md")),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TOP = command_line.command()
PRINTED = "batchwright serves "  # begins a line that is printed, not typed


def typed(text: str) -> Iterator[str]:
    """The lines of code that begin with the command, in blocks and within sentences, without remark and pipe."""
    lines = re.findall(r"^(?:    )?\$? ?(batchwright [^\n]*(?:\\\n[^\n]*)*)", text, re.MULTILINE)
    for line in [*lines, *re.findall(r"`(batchwright [^`]+)`", FENCE.sub("", text))]:
        if not line.startswith(PRINTED):
            yield re.split(r"\s+#|\s[|>&;]|\s2>|\s<\s| \.\.\.", line.replace("\\\n", " "))[0].strip()


def wrong_with(line: str) -> str:
    """What a command line names that there is not; "" if nothing."""
    command = TOP
    words = shlex.split(line)[1:]
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return f"no command {words[0]}" if re.fullmatch(r"[a-z]+", words[0]) else ""
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    named = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    if "--" in words or command.context_settings.get("ignore_unknown_options"):  # the rest is for another program
        named = set()
    return ", ".join(sorted(named - known - {"--help", "-h", "--version", "--install-completion"}))


def test_commands_and_options_that_pages_name_exist() -> None:
    lines = {(page.name, line) for page in PAGES for line in typed(page.read_text())}
    assert len(lines) > 200
    wrong = {(page, line): wrong_with(line) for page, line in lines if line.count('"') % 2 == line.count("'") % 2 == 0}
    assert {place: what for place, what in wrong.items() if what} == {}


def test_what_does_not_exist_is_seen() -> None:
    assert wrong_with("batchwright run shop.ncl --simulated --sim seed=1") == "--simulated"
    assert wrong_with("batchwright store move") == "no command move"
    assert list(typed("    $ batchwright list --json | jq .\n")) == ["batchwright list --json"]


READERS = {"toml": tomllib.loads, "json": json.loads, "yaml": yaml.safe_load, "python": ast.parse}


@pytest.mark.parametrize("kind", READERS)
def test_data_that_pages_show_can_be_read(kind: str) -> None:
    found = [(page.name, text) for page in PAGES for word, text in FENCE.findall(page.read_text()) if word == kind]
    assert found
    unreadable = []
    for name, text in found:
        try:
            READERS[kind](text.replace("...", "" if kind != "python" else "..."))
        except (ValueError, SyntaxError, yaml.YAMLError) as error:
            unreadable.append((name, text[:80], str(error)[:80]))
    assert unreadable == []
