"""The scanner sees every import of a Nickel text, wherever it hides, and none that is not there."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.loader.nickel_scanner import Import, Places, Position, imports, path_at, tokens, unclosed
from tests.support.examples import share


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('import "a.ncl"', [Import("a.ncl", "", Position(1, 8))]),
        ('import "a.txt" as \'Text', [Import("a.txt", "Text", Position(1, 8))]),
        ('(import # comment "no"\n\t"a.ncl")', [Import("a.ncl", "", Position(2, 2))]),
        ('x = import "a", y = import"b"', [Import("a", "", Position(1, 12)), Import("b", "", Position(1, 27))]),
        ('"%{import "a"}"', [Import("a", "", Position(1, 11))]),
        ('"%{ {b = "}%{import "a"}"}.b }"', [Import("a", "", Position(1, 21))]),
        ('m%"" " %{import "a"} "%', [Import("a", "", Position(1, 17))]),
        ('m%%"%{import "no"} "% %%{import "a"}"%%', [Import("a", "", Position(1, 33))]),
        ('nix-s%"%{import "a"}"%', [Import("a", "", Position(1, 17))]),
        ("import name", [Import(None, "", Position(1, 1))]),
        ('x = import "a%{b}"', [Import(None, "", Position(1, 5))]),
        ('import m%"a"%', [Import("a", "", Position(1, 8))]),
        (r'import "\x61"', [Import(None, "", Position(1, 1))]),
        ("import", [Import(None, "", Position(1, 1))]),
        ('"import \\"a\\""', []),
        ('# import "a"', []),
        ("import' = 1, important = 2, x.import-y", []),
        ("'import", []),
        ('x%"" in import "a"', [Import("a", "", Position(1, 16))]),
        ('_x-s%" % import "a" "', []),
        ('m%""%{"a"}"% ++ import "a"', [Import("a", "", Position(1, 24))]),
        ('m%""%%{"a"}"% ++ import "a"', [Import("a", "", Position(1, 25))]),
        ('0xFm%"import"% ++ import \'a', [Import(None, "", Position(1, 19))]),
        ('%string/trim%" " ++ import "a"', [Import("a", "", Position(1, 28))]),
    ],
)
def test_imports(source: str, found: list[Import]) -> None:
    assert imports(source) == found


@pytest.mark.parametrize(
    ("source", "left"),
    [
        ("{ a = [1, 2 }", ("[", Position(1, 7))),
        ('{ a = "x,\n b = "y" }', ('"', Position(1, 7))),
        ('{ a = m%"x', ('m%"', Position(1, 7))),
        ("{ a = 1 }", None),
        ('"a%{b', ('"', Position(1, 1))),
    ],
)
def test_what_is_never_closed(source: str, left: tuple[str, Position] | None) -> None:
    assert unclosed(source) == left


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("{ a = { b = [1, { c = @ }] } }", ("a", "b", 1, "c")),
        ('{ a.b.c = 1, d."e f".g | default = [[], @] }', ("d", "e f", "g", 1)),
        ('{ a = 1, # , [ {\n b = m%"{[,"% ++ @ }', ("b",)),
        ("let x = 1 in { a = f { @ } }", ("a",)),
        ("{ a = 1 @", ("a",)),
        ("@", ()),
    ],
)
def test_the_path_of_a_place(source: str, path: tuple[str | int, ...]) -> None:
    place = Places(source).of(source.index("@"))
    assert path_at(source.replace("@", "x"), place) == path


@settings(max_examples=share(300), deadline=None)
@given(st.text(st.sampled_from("abm%\"{}[]()#\\ \n'-import"), max_size=60))
def test_no_text_breaks_the_scanner(source: str) -> None:
    found = list(tokens(source))
    assert all(0 <= token.offset < len(source) for token in found)
    imports(source)
    unclosed(source)
    path_at(source, Position(1, 1 + len(source.split("\n")[0])))
