"""B1: a secret is printed in no form, however it is written, and wherever the bytes are cut."""

from __future__ import annotations

import html
import json
import re
import urllib.parse
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from shlex import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchwright.commands.clean_output import CleanOutput
from batchwright.redaction import BLOT, Redactor


def escaped(form: str, text: str) -> str:
    """Each byte that is no ASCII letter or digit in this form."""
    return "".join(chr(b) if chr(b).isascii() and chr(b).isalnum() else form.format(b) for b in text.encode())


def in_lines(text: str) -> str:
    return "\n".join(text[i : i + 76] for i in range(0, len(text), 76))


FORMS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "json": json.dumps,
    "json in UTF-8": lambda s: json.dumps(s, ensure_ascii=False),
    "json with capitals": lambda s: re.sub(r"(?<=\\u)[0-9a-f]{4}", lambda m: m[0].upper(), json.dumps(s)),
    "json of a web page": lambda s: json.dumps(s).replace("/", r"\/").replace("<", r"\u003c").replace("&", r"\u0026"),
    "json in json": lambda s: json.dumps(json.dumps(s)),
    "repr": repr,
    "repr of bytes": lambda s: repr(s.encode()),
    "shell": quote,
    "shell, quoted by hand": lambda s: "'" + s.replace("'", r"'\''") + "'",
    "shell, with backslashes": lambda s: "".join(c if c.isalnum() or c == "\n" else f"\\{c}" for c in s),
    "octal": lambda s: escaped("\\{:03o}", s),
    "url": lambda s: urllib.parse.quote(s, safe=""),
    "url with slashes": urllib.parse.quote,
    "url in lower case": lambda s: escaped("%{:02x}", s),
    "form": urllib.parse.quote_plus,
    "url in a url": lambda s: urllib.parse.quote(urllib.parse.quote(s, safe=""), safe=""),
    "html": html.escape,
    "html by numbers": lambda s: "".join(c if c.isalnum() else f"&#{ord(c)};" for c in s),
    "json in html": lambda s: html.escape(json.dumps(s)),
    "sql": lambda s: s.replace("'", "''"),
    "crlf": lambda s: s.replace("\n", "\r\n"),
    "hex": lambda s: s.encode().hex(),
    "base64": lambda s: b64encode(s.encode()).decode(),
    "base64 after one byte": lambda s: b64encode(b"x" + s.encode()).decode(),
    "base64 after two bytes": lambda s: b64encode(b"xy" + s.encode() + b"\n").decode(),
    "base64 for urls": lambda s: urlsafe_b64encode(s.encode()).decode(),
    "base64 in lines": lambda s: in_lines(b64encode(s.encode()).decode()),
}  # fmt: skip
SECRETS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0*"), min_size=8, max_size=200)
PEM = "-----BEGIN KEY-----\n" + "\n".join(b64encode(bytes([n]) * 48).decode() for n in range(8)) + "\n-----END KEY-----"
NASTY = (
    """p'a"s\\s/&<+>é% 😀$x""",
    "\x1b[31mred\x07secret",
    "a" * 5_000,
    PEM,
    "two\r\nlines\r\nof it",
    "\\" * 30,
    "%41%42%43%44",
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", NASTY, ids=range(len(NASTY)))
def test_nothing_of_it_is_left_in_any_form(form: str, secret: str) -> None:
    """B1"""
    check(secret, form, [])


@given(SECRETS, st.sampled_from(sorted(FORMS)), st.lists(st.integers(1, 40), max_size=40))
@example(
    "00000" + "\x80" * 10 + "\U00010000" * 6, "base64", [1, 30, 40]
)  # its letters repeat, and a chunk ends in them
def test_any_secret_in_any_form_in_any_chunks(secret: str, form: str, cuts: list[int]) -> None:
    """B1"""
    check(secret, form, cuts)


def check(secret: str, form: str, cuts: list[int]) -> None:
    written = FORMS[form](secret)
    redact = Redactor([secret])
    body = f"before|{written}|after\n".encode()
    stream, told, at = redact.stream(), b"", 0
    for cut in cuts:
        told += stream.feed(body[at : at + cut])
        at += cut
    told += stream.feed(body[at:]) + stream.close()
    assert told == redact.of_bytes(body)
    text = told.decode()
    assert text.startswith("before|")
    assert text.endswith("|after\n")
    inside = text.removeprefix("before|").removesuffix("|after\n")
    assert BLOT in inside
    left = [part for part in inside.replace(BLOT, "\n").split("\n") if len(part) > 12]
    assert left == []  # what is left are quotes, and letters of base64 that its surroundings decide


@given(SECRETS, st.sampled_from(sorted(FORMS)), st.lists(st.integers(1, 40), max_size=40))
def test_no_line_of_a_program_has_it(secret: str, form: str, cuts: list[int]) -> None:
    """B1: control characters are taken out after the secrets."""
    lines: list[str] = []
    output, body, at = CleanOutput(lines.append, [secret]), f"x {FORMS[form](secret)} y".encode(), 0
    for cut in cuts:
        output.hear(body[at : at + cut])
        at += cut
    output.hear(body[at:])
    output.close()
    told = "\n".join(lines)
    assert secret.strip() not in told
    assert FORMS[form](secret).strip() not in told
    assert output.last().count("***") == told.count("***") or len(told) > 1_000


@given(st.text(min_size=1, max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_a_short_one_is_never_told_either(secret: str, before: str, after: str) -> None:
    """B1"""
    told = Redactor([secret])(f"{before}{secret}{after}")
    assert secret not in told or secret in BLOT or secret in f"{before}{BLOT}{after}"


@given(st.binary(max_size=300))
def test_without_secrets_everything_stays_as_it_is(data: bytes) -> None:
    assert Redactor(()).of_bytes(data) == data
    assert Redactor(["", ""]).of_bytes(data) == data
    assert Redactor(["no such secret here"]).of_bytes(data) == data


def test_overlapping_secrets_and_lines_of_one() -> None:
    assert Redactor(["abcd", "abcdefgh"])("x abcdefgh y abcd") == "x *** y ***"
    assert Redactor(["abcdef", "defghi"])("abcdefghi") == "***"
    redact = Redactor(["-----BEGIN KEY-----\nc2VjcmV0\nb\n-----END KEY-----"])
    assert [redact(line) for line in ("  c2VjcmV0", "key: -----BEGIN KEY-----", "b")] == ["  ***", "key: ***", "b"]


def test_a_secret_that_is_cut_off_by_the_end_is_replaced_too() -> None:
    """B1"""
    stream = Redactor(["correct horse battery"]).stream()
    assert stream.feed(b"it is correct horse bat") + stream.close() == b"it is ***"
    stream = Redactor(["correct horse battery"]).stream()
    assert stream.feed(b"it is correct") + stream.close() == b"it is correct"
    assert stream.feed(b"lines are told at once\n") == b"lines are told at once\n"
