"""What a server reports of its first start: states and output never meet (E12)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.providers.local import boot_status, first_start_files, records, sandbox

FAILED = f"Id={boot_status.SCRIPT_UNIT}\nActiveState=failed\n\nId={boot_status.SSH_UNIT}\nActiveState=active\n"


def test_states_are_read_by_unit() -> None:
    assert boot_status.states(FAILED) == {boot_status.SCRIPT_UNIT: "failed", boot_status.SSH_UNIT: "active"}
    assert boot_status.states("running\nssh.service failed\n") == {}


@given(st.text())
def test_what_a_script_prints_is_cut_and_printable(text: str) -> None:
    """E12: bounded, and nothing in it that a terminal obeys."""
    said = boot_status.last_said(text)
    assert len(said) <= boot_status.SAID_LINES
    assert all(line.isprintable() and 0 < len(line) <= boot_status.LINE_MAX + 3 for line in said)


@pytest.mark.parametrize("said", ["ssh.service failed\n", FAILED, "x" * 200_000, "\0" * 9000, ""])
@pytest.mark.parametrize(("state", "expected"), [("failed", "failed"), ("inactive", "inactive")])
def test_output_never_changes_a_state(tmp_path: Path, said: str, state: str, expected: str) -> None:
    """E12."""
    (tmp_path / records.TOLD).mkdir()
    assert sandbox.states(tmp_path) is None
    (tmp_path / records.TOLD / records.SAID).write_text(said)
    (tmp_path / records.TOLD / records.READY).write_text(f"Id={boot_status.SCRIPT_UNIT}\nActiveState={state}\n")
    assert sandbox.states(tmp_path) == {boot_status.SCRIPT_UNIT: expected}
    assert all(len(line) <= boot_status.LINE_MAX + 3 for line in sandbox.said(tmp_path))


@pytest.mark.parametrize(("ending", "state"), [("exit 7", "failed"), ("exit 0", "inactive")])
def test_without_a_service_manager_the_state_is_that_of_the_script(tmp_path: Path, ending: str, state: str) -> None:
    """E12: the part of a plain user's first program that runs the script, with 16 KB of output."""
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\nhead -c 16000 /dev/zero | tr '\\0' x\necho\necho 'ssh.service failed'\n{ending}\n")
    script.chmod(0o755)
    program = first_start_files._FIRST[
        first_start_files._FIRST.index("state=inactive") : first_start_files._FIRST.index("exec dropbear")
    ]
    program = program.replace(first_start_files.SCRIPT, str(script)).replace(first_start_files.INSIDE, str(tmp_path))
    subprocess.run(["sh", "-c", program], check=True)
    assert boot_status.states((tmp_path / records.READY).read_text()) == {boot_status.SCRIPT_UNIT: state}
    assert boot_status.last_said((tmp_path / records.SAID).read_text())[-1] == "ssh.service failed"


def test_pipes_folders_and_links_are_not_read(tmp_path: Path) -> None:
    """E12: the folder is the server's, so what stands there may be anything."""
    told = tmp_path / records.TOLD
    told.mkdir()
    (told / records.SAID).mkdir()
    (told / records.READY).symlink_to("/etc/passwd")
    assert (sandbox.states(tmp_path), sandbox.said(tmp_path)) == (None, [])


def test_what_its_service_manager_said_is_cut_and_printable(tmp_path: Path) -> None:
    (tmp_path / records.CONSOLE).write_bytes(b"<3>\x1b[2Jone\n" + b"x" * 900 + b"\n")
    first, long = sandbox.tail(tmp_path)
    assert (first, len(long) <= boot_status.LINE_MAX) == ("one", True)
