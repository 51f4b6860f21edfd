"""The locks of the packages, held here by a process of the test's own (F7)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchwright.taskservs.package_locks import FILES, LOCK_SECONDS, WITH_PACKAGES

HOLD = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def run(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """The functions over files of the folder instead of the system's."""
    text = WITH_PACKAGES.replace("command -v dpkg", "true").replace(f"-ge {LOCK_SECONDS}", "-ge 4")
    for number, file in enumerate(FILES):
        text = text.replace(file, str(folder / str(number)))
    return subprocess.run(
        ["sh", "-s"], input=f"set -e\n{text}\n{command}\n", capture_output=True, text=True, check=False
    )


@pytest.fixture
def held(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "2")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == "held\n"
    yield holder
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()


def test_any_holder_is_seen_by_its_lock_and_the_wait_has_an_end(tmp_path: Path, held: subprocess.Popen[str]) -> None:
    """F7: whichever program it is: here Python, which is not one of apt's."""
    done = run(tmp_path, "with_packages echo never")
    assert done.returncode == 1
    name = Path(f"/proc/{held.pid}/comm").read_text().strip()
    assert done.stdout == f"waiting for {name} (process {held.pid}), which holds {tmp_path}/2\n"
    assert "for over" in done.stderr


def test_it_goes_on_when_the_lock_is_free(tmp_path: Path, held: subprocess.Popen[str]) -> None:
    """F7."""
    done = run(tmp_path, f"( sleep 1; kill {held.pid} ) & with_packages echo at last")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("at last\n")


def test_without_a_holder_a_command_has_its_own_end(tmp_path: Path) -> None:
    """F7."""
    assert run(tmp_path, "with_packages echo fine").stdout == "fine\n"
    failed = run(tmp_path, "with_packages sh -c 'echo broken; exit 7' || exit $?")
    assert (failed.returncode, failed.stdout) == (7, "broken\n")


def test_what_was_refused_a_lock_in_between_is_tried_again(tmp_path: Path) -> None:
    """F7: somebody may be faster than the use after the look."""
    command = f"""once() {{
      [ ! -e {tmp_path}/was ] || {{ echo done; return 0; }}
      touch {tmp_path}/was
      echo 'dpkg: error: dpkg frontend lock was locked by another process with pid 7' >&2
      return 2
    }}
    with_packages once"""
    done = run(tmp_path, command)
    assert done.returncode == 0
    assert done.stdout.endswith("done\n")
