"""The shell that servers are given, run here: only what is marked is ended, and a variable is never a command."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.examples import share

from batchwright.taskservs.runner.shell_snippets import end_marked, list_installed, told, with_environment

PATIENCE = 60


def run(text: str) -> subprocess.CompletedProcess[str]:
    """As the runner does: through standard input, in braces."""
    body = f"{{\n{text}\n}} </dev/null 2>&1\n"
    return subprocess.run(["sh", "-s"], input=body, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_only_processes_with_the_mark_are_ended() -> None:
    token = f"tok-{os.getpid()}"
    command = ["sleep", "600"]
    marked = subprocess.Popen(command, env={**os.environ, "BATCHWRIGHT_STEP": token})
    stubborn = subprocess.Popen(
        ["sh", "-c", f"export BATCHWRIGHT_STEP={token} && trap '' TERM && echo ready && while :; do sleep 600; done"],
        stdout=subprocess.PIPE,
        text=True,
    )
    others = [subprocess.Popen(command, env={**os.environ, "BATCHWRIGHT_STEP": other}) for other in (f"{token}x", "")]
    try:
        assert stubborn.stdout is not None
        assert stubborn.stdout.readline() == "ready\n"
        done = run(end_marked(token))
        assert (done.returncode, done.stdout) == (0, "ended 3\n")  # with the stubborn one's own sleep
        assert marked.wait(PATIENCE) == -15
        assert stubborn.wait(PATIENCE) == -9
        assert [other.poll() for other in others] == [None, None]
        assert run(end_marked(token)).stdout == "ended 0\n"
    finally:
        for process in (marked, stubborn, *others):
            process.kill()
            process.wait()
        if stubborn.stdout is not None:
            stubborn.stdout.close()


@settings(max_examples=share(25), deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=60))
def test_a_variable_arrives_as_it_is(value: str) -> None:
    done = subprocess.run(
        ["sh", "-s"],
        input=with_environment({"it": value}, 'printf %s "$it"; exit 0\n').encode(),
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout == value.encode()


def test_what_is_told_is_what_it_prints_and_its_errors_only_when_it_fails() -> None:
    fine = run(told("echo warning >&2; echo value"))
    assert (fine.returncode, fine.stdout) == (0, "value\n")
    failed = run(told("echo half; echo broken >&2; exit 7"))
    assert (failed.returncode, failed.stdout) == (7, "half\nbroken\n")


def test_what_is_there_is_listed_by_its_probe(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    probes = {"here": f"test -e {tmp_path}/there", "not-here": f"test -e {tmp_path}/gone", "exits": "exit 0 # at once"}
    assert run(list_installed(probes)).stdout.split() == ["exits", "here"]
