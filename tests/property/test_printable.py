"""B7: nothing that is shown moves a cursor, turns a line round or hides, whichever of Unicode's characters it has."""

from __future__ import annotations

import ast
import enum
import inspect
import io
import json
import logging
import re
import sys
import types
import typing
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from batchwright.cli import (
    install_preview_printer,
    main,
    output,
    progress_display,
    progress_frame,
    view_printer,
    workload_health_printer,
)
from batchwright.errors import BatchwrightError
from batchwright.model import events as ev
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.lifecycle import RunState
from batchwright.printable import REPLACEMENT, escaped_json, flat, printable, shortened
from batchwright.service.stderr_log import log_to_stderr
from batchwright.views.progress_update import ProgressUpdate


def only_for_annotations(module: types.ModuleType) -> dict[str, Any]:
    """What a module imports for the type checker alone."""
    blocks = [node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.If)]
    imports = [one for block in blocks for one in block.body if isinstance(one, ast.ImportFrom)]
    return {
        alias.asname or alias.name: getattr(import_module(str(one.module)), alias.name)
        for one in imports
        for alias in one.names
    }


ANNOTATED = {
    **only_for_annotations(view_printer),
    **only_for_annotations(install_preview_printer),
    **only_for_annotations(workload_health_printer),
}
HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
HOSTILE = (
    "a\x1b[2J\x1b[31mred\x9b31m\x1b]0;title\x07\x9d0;t\x9c\x1b]8;;http://x/\x1b\\\x1bc\x07\b\b\x7f\x00\r"
    "\u202edlrow\u2066\u2028\u2029\u200b\ufeff\U000e0041\ud800\x85 [red]m[/red] [/] :boom: end"
)


def unfit(text: str) -> list[str]:
    return [f"U+{ord(c):04X}" for c in text if c not in "\n\t" and unicodedata.category(c) in HIDDEN]


def test_no_character_of_unicode_gets_through_that_is_not_fit() -> None:
    """B7"""
    every = [chr(code) for code in range(sys.maxunicode + 1)]
    assert unfit("".join(map(printable, every))) == []
    assert unfit(printable("".join(every))) == []
    for character in every:
        if unicodedata.category(character)[0] in "LNPS" and character not in "\u115f\u1160\u3164\uffa0":
            assert printable(character) == character


@given(st.text(st.one_of(st.characters(), st.sampled_from("\x1b[]()#;?0m\x07\x9b\x9d\x9c\\\r\n"))))
def test_any_text_is_made_fit_once_and_for_all(text: str) -> None:
    """B7"""
    shown = printable(text)
    assert unfit(shown) == []
    assert printable(shown) == shown
    assert "\n" not in flat(text)
    assert len(shown) <= len(text)


def test_sequences_go_whole_and_what_is_cut_off_hides_nothing() -> None:
    assert (
        printable("\x1b[1;31mred\x1b[0m \x1b]0;title\x07\x1b]8;;http://x/\x1b\\link\x1b]8;;\x1b\\ \x1b(B\x1b=")
        == "red link "
    )
    assert printable("x\x9b2Jy\x9d0;title\x9cz") == "xyz"
    assert printable("\x1b]0;not ended\nnext") == f"{REPLACEMENT}]0;not ended\nnext"
    assert printable("\x1b\x1b[31m") == REPLACEMENT
    assert printable("db\u200b-1") == f"db{REPLACEMENT}-1"
    assert printable("a\r\nb\tc") == "a\nb\tc"


@given(st.text(max_size=300), st.integers(1, 300))
def test_a_text_is_shortened_in_its_middle(text: str, most: int) -> None:
    """B6"""
    short = shortened(text, most)
    assert len(short) <= max(most, 3) or short == text
    if most >= 40 and len(text) > most:
        assert text.startswith(short.partition(" ... (")[0])
        assert text.endswith(short.rpartition(") ... ")[2])


@given(
    st.recursive(
        st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_stays_exact_and_is_fit_for_a_terminal(value: Any) -> None:
    """B7"""
    text = escaped_json(msgspec.json.encode(value).decode())
    assert json.loads(text) == value
    assert unfit(text) == []


# -- everything that is shown ---------------------------------------------------------------------------------------


def filled(kind: Any, text: str, name: str = "") -> Any:
    """A value of a type with the text wherever one may stand."""
    origin, args = get_origin(kind), get_args(kind)
    if kind is str or kind is Any or kind is object:
        return text
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return next(iter(kind))
    if isinstance(kind, type) and issubclass(kind, Struct):
        hints = get_type_hints(kind)
        return kind(**{field: filled(hints[field], text, field) for field in kind.__struct_fields__})
    if origin in (types.UnionType, typing.Union):
        return filled(next(one for one in args if one is not types.NoneType), text, name)
    if origin is typing.Literal:
        return args[0]
    if origin in (tuple, list, Sequence, Iterable, frozenset):
        one = filled(args[0], text, name)
        return [one, one] if origin is list else (one, one)
    if origin in (dict, Mapping):
        return {filled(args[0], text, name): filled(args[1], text, name)}
    return {bool: True, int: 3, float: 3.0}[kind]


SHOWS = [
    function
    for module in (view_printer, workload_health_printer, install_preview_printer)
    for name, function in vars(module).items()
    if name.startswith("show_") and name != "show_table" and function.__module__ == module.__name__
]
KINDS = [kind for kind in get_args(ev.AnyEvent) if issubclass(kind, ev.Event)]


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    told = capsys.readouterr()
    return re.sub(r"\x1b\[[0-9;]*m", "", told.out + told.err)  # Rich's own colours, on a terminal


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("show", SHOWS, ids=lambda one: one.__name__)
def test_every_view_is_fit_for_a_terminal(
    show: Callable[..., None], terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """B7: with the same text in every field."""
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", "100")
    hints = get_type_hints(show, localns=ANNOTATED)
    values = {
        name: filled(hints[name], HOSTILE, name)
        for name, parameter in inspect.signature(show).parameters.items()
        if parameter.default is parameter.empty and name != "json"
    }
    show(**values, **({"json": False} if "json" in hints else {}))
    text = shown(capsys)
    assert "[/] :boom: end" in text or "end\n" in text  # brackets and colons mean nothing
    assert unfit(text) == []


def test_a_run_that_is_drawn_and_told_is_fit(capsys: pytest.CaptureFixture[str]) -> None:
    """B7"""
    view = filled(get_type_hints(view_printer.show_run, localns=ANNOTATED)["view"], HOSTILE)
    output.out().print(*progress_frame.frame(view, 100, 20))
    teller = progress_display.Plain(5, output.Lines(stderr=False).write)
    teller.take([filled(kind, HOSTILE + "\nRun Completed") for kind in KINDS if kind is not ev.RunCreated], 0.0)
    teller.progress(ProgressUpdate(lambda: view), 1e9)
    text = shown(capsys)
    assert text.count("dlrow") > 10
    assert unfit(text) == []
    assert not any(line.startswith("Run Completed") for line in text.splitlines())


def test_errors_questions_and_findings_are_fit(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """B7"""
    output.show_error(BatchwrightError(HOSTILE, hint=HOSTILE), json=False)
    output.show_diagnostics([filled(Diagnostic, HOSTILE + "\nfake: no problem")])
    output.note(HOSTILE, "red")
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert not output.confirm(HOSTILE)
    text = shown(capsys)
    assert text.count("dlrow") >= 5
    assert unfit(text) == []
    assert main.run_command([f"status{HOSTILE}"]) != 0
    assert main.run_command(["validate", f"/none/{HOSTILE}.ncl".replace("\0", "")]) != 0
    assert unfit(shown(capsys)) == []


def test_json_of_anything_is_valid_and_fit(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """B7"""
    output.print_json({"run": RunState.RUNNING, "text": HOSTILE})
    told = capsysbinary.readouterr().out.decode()
    assert unfit(told) == []
    assert json.loads(told)["text"] == HOSTILE.replace("\ud800", REPLACEMENT)


def test_log_lines_of_the_service_are_fit(capsys: pytest.CaptureFixture[str]) -> None:
    """B7"""

    logger = logging.getLogger("batchwright")
    before, level = list(logger.handlers), logger.level
    try:
        log_to_stderr()
        text = HOSTILE.replace("\ud800", "")  # what captures logs for reports cannot take it
        logger.warning("got %s", text + "\n2026-01-01 INFO all is well")
        try:
            raise ValueError(text)
        except ValueError:
            logger.exception("failed")
    finally:
        logger.handlers[:] = before
        logger.setLevel(level)
    text = shown(capsys)
    assert text.count("dlrow") >= 2
    assert unfit(text) == []
    assert not any(line.startswith("2026-01-01 INFO") for line in text.splitlines())


def test_warnings_of_libraries_are_fit(capsys: pytest.CaptureFixture[str]) -> None:
    """B7: asyncio and others log what nobody listens for to stderr."""
    main.run_command(["--version"])
    text = HOSTILE.replace("\ud800", "")
    assert logging.lastResort is not None
    logging.lastResort.emit(logging.LogRecord("asyncio", logging.ERROR, "", 1, text + "\nfake line", (), None))
    told = shown(capsys)
    assert "dlrow" in told
    assert unfit(told) == []
    assert not any(line.startswith("fake line") for line in told.splitlines())


def test_every_kind_of_event_is_tried() -> None:
    assert len(KINDS) > 20
    assert len(SHOWS) > 12
