"""What a command needs is found, or all that is missing is reported, before anything is changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batchwright.commands.preflight import find_here, find_there
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.secret_reference import SecretReference
from batchwright.operations.command import CommandRequest
from batchwright.testing.plans import command


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A PATH with one program, `deploy`, and beside it one that may not be executed."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, mode in (("deploy", 0o755), ("notes", 0o644)):
        (tools / name).write_text("#!/bin/sh\n")
        (tools / name).chmod(mode)
    return {"PATH": str(tools), "TOKEN": "hunter2"}


def flaws(found: CommandRequest | list[Diagnostic]) -> list[tuple[str, str]]:
    assert isinstance(found, list)
    return [(flaw.code, flaw.hint) for flaw in found]


def test_a_request_has_no_path_of_this_machine(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = find_here(command("do", "deploy", "-v", undo=["tools/deploy", "--undo"], idempotent=True), environ)
    assert found == CommandRequest("deploy", ("deploy", "-v"), ("tools/deploy", "--undo"), idempotent=True)
    monkeypatch.chdir("/")
    beside = find_here(command("do", "./deploy", directory="tools"), environ, str(tmp_path))
    assert beside == CommandRequest("deploy", ("./deploy",), directory="tools")
    assert flaws(find_here(command("do", "./deploy", directory="tools"), environ))[0][0] == "directory-missing"


def test_the_commands_own_path_counts(environ: dict[str, str], tmp_path: Path) -> None:
    assert flaws(find_here(command("do", "deploy", env={"PATH": str(tmp_path)}), environ)) == [
        ("program-missing", "Install it, or give its full path.")
    ]


def test_a_program_that_is_not_there_is_told_with_what_was_probably_meant(environ: dict[str, str]) -> None:
    assert flaws(find_here(command("do", "depoly", undo=["nothing-like-it"]), environ)) == [
        ("program-missing", 'Did you mean "deploy"?'),
        ("program-missing", "Install it, or give its full path."),
    ]
    assert "as separate strings" in flaws(find_here(command("do", "deploy --all"), environ))[0][1]
    assert flaws(find_here(command("do", ""), environ))[0][0] == "program-missing"


def test_a_place_is_told_with_what_stands_there(environ: dict[str, str], tmp_path: Path) -> None:
    assert flaws(find_here(command("do", f"{tmp_path}/tools/deply"), environ)) == [
        ("program-missing", f'Did you mean "{tmp_path}/tools/deploy"?')
    ]
    assert flaws(find_here(command("do", f"{tmp_path}/tools/notes"), environ)) == [
        ("program-not-executable", f"Run: chmod +x {tmp_path}/tools/notes")
    ]
    assert flaws(find_here(command("do", "deploy", directory=f"{tmp_path}/tool"), environ)) == [
        ("directory-missing", f'Did you mean "{tmp_path}/tools"?')
    ]


def test_all_that_is_missing_is_told_at_once_and_no_secret_with_it(environ: dict[str, str], tmp_path: Path) -> None:
    env: dict[str, str | SecretReference] = {
        "A": SecretReference(env="TOKEN"),
        "B": SecretReference(env="TOKEM"),
        "C": SecretReference(file=str(tmp_path / "none")),
        "D": SecretReference(command=("pass", "show", "x")),
        "E": SecretReference(command=("deploy",)),
        "F": SecretReference(file=str(tmp_path / "tools" / "notes")),
    }
    for found in (
        find_here(command("do", "deply", env=env), environ),
        find_there(command("do", "x", env=env), environ),
    ):
        assert isinstance(found, list)
        told = [flaw.message for flaw in found if flaw.code == "secret-missing"]
        assert [message.split('"')[1] for message in told] == ["B", "C", "D"]
        assert "hunter2" not in str(found)
    assert isinstance(
        find_there(command("do", "anything", env={"A": SecretReference(env="TOKEN")}), environ), CommandRequest
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"echo hi\n", "whose first line names no interpreter"),
        (b"", "is empty"),
        (b"#!/bin/sh\r\necho hi\r\n", "ends with a carriage return"),
        (b"#!\n", "names no interpreter"),
        (b"#!/none/python3\n", "/none/python3, which does not exist"),
        (b"#!/usr/bin/env nothing-like-it -x\n", '"nothing-like-it -x", which is not installed'),
        (b"#!/usr/bin/env -S nothing-like-it -x\n", '"nothing-like-it", which is not installed'),
    ],
)
def test_a_script_that_the_system_would_not_start_is_found(tmp_path: Path, body: bytes, words: str) -> None:
    """B8"""
    script = tmp_path / "do.sh"
    script.write_bytes(body)
    script.chmod(0o755)
    for asked in (command("do", str(script)), command("do", "true", undo=[str(script)])):
        found = find_here(asked, dict(os.environ))
        assert isinstance(found, list)
        assert [flaw.code for flaw in found] == ["program-not-runnable"]
        assert words in found[0].message
        assert found[0].hint
    secret = command("do", "true", env={"S": SecretReference(command=(str(script),))})
    [flaw] = find_here(secret, dict(os.environ))  # type: ignore[misc]
    assert words in flaw.message


@pytest.mark.parametrize(
    "body", [b"#!/bin/sh\necho hi\n", b"#! /usr/bin/env sh\n", b"\x7fELF\0\0", b"#!/usr/bin/env -S sh -e\n"]
)
def test_what_the_system_starts_is_not_refused(tmp_path: Path, body: bytes) -> None:
    script = tmp_path / "do"
    script.write_bytes(body)
    script.chmod(0o755)
    assert isinstance(find_here(command("do", str(script)), dict(os.environ)), CommandRequest)


def test_the_hint_for_one_long_word_splits_it(environ: dict[str, str]) -> None:
    """B8"""
    for words, hint in (
        (["curl -sf http://x/"], '["curl", "-sf", "http://x/"]'),
        (["deploy --name 'a b'", "more"], '["deploy", "--name", "a b", "more"]'),
        (["cat x | wc -l"], '["sh", "-c", "cat x | wc -l"]'),
    ):
        [(_, told)] = flaws(find_here(command("do", *words), environ))
        assert told.endswith(hint)


def test_what_no_program_can_be_given_is_found(environ: dict[str, str], tmp_path: Path) -> None:
    """F13: for the undo too, and for programs on servers."""
    (tmp_path / "long").write_text("x" * 131_072)
    long: dict[str, str | SecretReference] = {"S": SecretReference(file=str(tmp_path / "long"))}
    for asked, code, words in (
        (command("do", "deploy", "x" * 200_000), "command-too-long", "argument 1 has 200,000 bytes"),
        (command("do", "deploy", undo=["deploy", "x" * 200_000]), "command-too-long", "argument 1 has 200,000 bytes"),
        (command("do", "deploy", env={"A": "x" * 131_072}), "command-too-long", 'the variable "A" has 131,074 bytes'),
        (command("do", "deploy", env=long), "command-too-long", 'the variable "S" has 131,074 bytes'),
        (command("do", "deploy", *["x" * 100_000] * 30), "command-too-long", "bytes together"),
        (command("do", "deploy", "a\0b"), "command-invalid", "argument 1 contains a NUL byte"),
    ):
        for found in (find_here(asked, environ), find_there(asked, environ)):
            assert isinstance(found, list)
            assert [flaw.code for flaw in found] == [code]
            assert words in found[0].message
            assert "xxx" not in found[0].message


def test_a_folder_that_is_gone_is_told(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F11, F13"""
    there = tmp_path / "there"
    there.mkdir()
    monkeypatch.chdir(there)
    there.rmdir()
    found = find_here(command("do", "deploy"), environ)
    assert [flaw.message for flaw in found] == ["the current folder no longer exists"]  # type: ignore[union-attr]
    assert isinstance(find_here(command("do", "deploy", directory=str(tmp_path)), environ), CommandRequest)


def test_secrets_that_no_program_can_be_given_are_found(environ: dict[str, str], tmp_path: Path) -> None:
    """B3: each in its own words."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "nul").write_bytes(b"a\0b")
    env: dict[str, str | SecretReference] = {
        "F": SecretReference(file=str(tmp_path / "fifo")),
        "D": SecretReference(file=str(tmp_path)),
        "Z": SecretReference(file="/dev/zero"),
        "N": SecretReference(file=str(tmp_path / "nul")),
        "E": SecretReference(env="EMPTY"),
    }
    found = find_here(command("do", "deploy", env=env), {**environ, "EMPTY": ""})
    assert isinstance(found, list)
    assert {flaw.code for flaw in found} == {"secret-missing"}
    for flaw, words in zip(found, ("a named pipe", "a folder", "a device", "a NUL byte", "is empty"), strict=True):
        assert words in flaw.message
