"""The values that the built-in entries take, and those that they refuse before anything is planned (E13)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.model.taskserv_variable import Variable, VariableType
from batchwright.taskservs.catalogue import lint_folders, load_catalogue

CATALOGUE = load_catalogue()
ALL = [(entry.name, key) for entry in CATALOGUE.values() for key in entry.variables]
KINDS = (VariableType.STRING, VariableType.URL, VariableType.ADDRESS, VariableType.CIDR, VariableType.ENUM)
FREE = [("unit", "run")]  # a command takes anything, and is quoted for systemd
TEXTS = [
    (name, key)
    for name, key in ALL
    if CATALOGUE[name].variables[key].type in (*KINDS, VariableType.LIST) and (name, key) not in FREE
]


@pytest.mark.parametrize(("name", "key"), TEXTS)
@given(before=st.text(max_size=8), bad=st.sampled_from(["\n", "\r", "\0", '"', "'", " ;", "\\", "\x1b", "$(x)`"]))
def test_no_text_of_a_built_in_entry_takes_what_could_end_a_value(name: str, key: str, before: str, bad: str) -> None:
    """E13: a newline injected directives. Of a list, each element."""
    variable = CATALOGUE[name].variables[key]
    variable = variable.element if variable.type is VariableType.LIST else variable
    assert variable.wanted(f"{before}{bad}") is not None or (bad in "'$(x)`" and variable.type is VariableType.URL)
    assert variable.wanted(f"{variable.default or ''}{bad}requirepass x") is not None


@pytest.mark.parametrize(("name", "key"), ALL)
def test_every_variable_of_a_built_in_entry_says_what_it_takes(name: str, key: str) -> None:
    """E13: a string has a pattern, a whole number its bounds."""
    variable = CATALOGUE[name].variables[key]
    if variable.type in (VariableType.STRING, VariableType.SECRET, VariableType.LIST):
        assert variable.pattern
        assert variable.means
    if variable.type in (VariableType.INTEGER, VariableType.NUMBER):
        assert variable.least is not None
        assert variable.most is not None


@pytest.mark.parametrize(("name", "key", "right", "wrong"), [
    ("nginx", "upstreams", [(), ("10.0.0.5:80", "web-2", "[fd00::5]:80", "fd00::5")], [("a b",), "a", ("a;",), (80,)]),
    ("nginx", "sites", [("a.test -> /srv/a", "b.test -> c:1,d")], [("a.test",), ("a.test -> /a;b",), ("-> /srv",)]),
    ("users", "users", [("alice", "_x-1")], [("root",), ("Alice",), ("a:b",), ("a" * 32,)]),
    ("users", "keys", [("a ssh-ed25519 " + "A" * 68 + " a b",)], [("a ssh-ed25519 A",), ("ssh-ed25519 " + "A" * 68,)]),
    ("users", "sudo", [("a", "a /bin/ls -l /x")], [("a ls",), ("a /bin/ls *",), ("a ALL=ALL",), ("a /bin/a, /b",)]),
    ("redis", "maxmemory", ["0", "64mb", "1GB", "100"], ["lots", "64mb\nsave 1 1", "64 mb", "-1", "", "1tb"]),
    ("nginx", "worker_connections", [4, 768], [0, -1, 10**9, True]),
    ("postgresql", "owner", ["", "shop", "my-app_2", "o" * 63], ["o" * 64, 'a"b', "a b", "2x", "a=b", "\N{SNOWMAN}"]),
    ("postgresql", "max_connections", [100], [0, 3, 10**6]),
    ("postgresql", "bind", ["${server.address}", "::", "fe80::1%eth0"], ["fe80::1%a\nport = 1", "fe80::1%' ", "db"]),
    ("kubernetes", "repo_url", ["file:/srv/x", "https://a.b/c:/d/"], ["https://a b/", "https://a/\n", 'https://a"']),
    ("cilium", "helm_sha256", ["", "a" * 64], ["a" * 63, "x" * 64]),
])  # fmt: skip
def test_values_and_what_is_none(name: str, key: str, right: list[Any], wrong: list[Any]) -> None:
    """E13."""
    variable = CATALOGUE[name].variables[key]
    assert [value for value in right if variable.wanted(value) is not None] == []
    assert [value for value in wrong if variable.wanted(value) is None] == []
    assert variable.described()


def test_a_secret_is_compared_when_it_is_known() -> None:
    """E13."""
    variable = CATALOGUE["redis"].variables["password"]
    assert variable.revealed("any \N{SNOWMAN} 'text'\n") is None
    assert variable.revealed("") == "1 to 512 characters"


@pytest.mark.parametrize(("more", "said"), [
    ("{type: string, summary: x, pattern: '['}", "`pattern` and `means`"),
    ("{type: string, summary: x, pattern: '[', means: y}", "is not a regular expression"),
    ("{type: port, summary: x, pattern: 'a', means: y}", "only a string or a secret can have one"),
    ("{type: string, summary: x, least: 1}", "only a number can have bounds"),
    ("{type: integer, summary: x, least: 2, most: 1}", "it is more than `most`"),
    ("{type: integer, summary: x, least: 2, default: 1}", "1 is not a whole number from 2"),
])  # fmt: skip
def test_a_wrong_pattern_or_bound_is_named(tmp_path: Path, more: str, said: str) -> None:
    """E13."""
    (tmp_path / "mine").mkdir()
    head = "name: mine\nversion: '1'\nsummary: x\nseconds: 1\n"
    (tmp_path / "mine/taskserv.yaml").write_text(f"{head}variables:\n  size: {more}\n")
    assert any(
        re.search(re.escape(said).replace("pattern:\\ a", "a"), one.message)
        for one in lint_folders([tmp_path / "mine"])
    )


@given(st.text())
def test_a_string_without_a_pattern_is_one_line(text: str) -> None:
    """E13: of entries of one's own too."""
    assert (Variable(VariableType.STRING, "x").wanted(text) is None) == (text.isprintable() and "${server." not in text)
