"""The manual page, made from the commands themselves: one page in roff, with every command and option."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from batchwright.cli.exit_codes import Exit

EXIT_CODES = (
    (Exit.OK, "It was done, or the answer is yes."),
    (
        Exit.NO,
        "The answer is no: an invalid file, a refused plan, a run that failed, an incomplete rollback.",
    ),
    (Exit.COULD_NOT, "It could not be done: wrong usage, a store or service that does not answer, an unknown run."),
    (Exit.STOPPED, "The run was cancelled, is paused, or no process drives it."),
    (Exit.LEFT, "A second Ctrl-C or a signal ended the command; the run can be resumed."),
)
ENVIRONMENT = (
    ("BATCHWRIGHT_STATE_DIR", "The folder in which runs are recorded."),
    ("BATCHWRIGHT_URL", "The service that commands use."),
    ("BATCHWRIGHT_TOKEN", "The access token for that service."),
    ("BATCHWRIGHT_DEBUG", "1: show the traceback of a bug."),
    ("NO_COLOR", "Set: no colours."),
)


def man_page(command: Any, version: str) -> str:
    """The page of a Click group with all its commands, in roff (man(7)); the same bytes for the same commands."""
    return "\n".join(_page(command, version)) + "\n"


def _page(group: Any, version: str) -> Iterator[str]:
    name = group.name
    yield f'.TH "{name.upper()}" "1" "" "{name} {version}" "User commands"'
    yield from (".SH NAME", f"{name} \\- {_text(group.help)}")
    yield from (".SH SYNOPSIS", f".B {name}", "COMMAND [OPTIONS] [ARGUMENTS]")
    yield ".SH COMMANDS"
    context = group.make_context(name, [], resilient_parsing=True)
    for word in group.commands:
        yield from _command(group.commands[word], context, word)
    yield ".SH EXIT STATUS"
    for code, meaning in EXIT_CODES:
        yield from (".TP", f".B {int(code)}", _text(meaning))
    yield ".SH ENVIRONMENT"
    for variable, meaning in ENVIRONMENT:
        yield from (".TP", f".B {variable}", _text(meaning))


def _command(command: Any, parent: Any, words: str) -> Iterator[str]:
    with command.make_context(command.name, [], parent=parent, resilient_parsing=True) as context:
        usage = " ".join(command.collect_usage_pieces(context))
        yield from (f".SS {_text(words)}", f".B {_text(words)}", _text(usage))
        if command.help:
            yield from (".PP", _text(command.help))
        for parameter in command.params:
            record = parameter.get_help_record(context)
            if record and not parameter.hidden:
                yield from (".TP", f".B {_text(record[0])}", _text(record[1]))
        if command.epilog:
            yield from (".PP", _text(command.epilog))
        for word, one in getattr(command, "commands", {}).items():
            yield from _command(one, context, f"{words} {word}")


def _text(words: str) -> str:
    """One line of roff that shows these words as they are."""
    plain = re.sub(r"\s+", " ", words).strip().replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain
