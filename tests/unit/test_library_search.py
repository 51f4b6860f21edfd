"""Libraries are looked for without a compiler while asyncssh is loaded."""

import ctypes.util
import subprocess
import sys

import pytest

from batchwright.library_search import without_compilers


def test_no_compiler_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    begin = subprocess.Popen.__init__

    def record(self: subprocess.Popen[bytes], args: list[str], *more: object, **named: object) -> None:
        started.append(args[0])
        begin(self, args, *more, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess.Popen, "__init__", record)
    with without_compilers():
        assert ctypes.util.find_library("none-of-this-name") is None
    assert not any("gcc" in one or one.endswith("ld") for one in started), started
    search = ctypes.util._findLib_ld  # type: ignore[attr-defined]
    assert search.__name__ == "_findLib_ld"


def test_ssh_is_loaded_so() -> None:
    code = """
import subprocess
begin = subprocess.Popen
started = []
class Recorded(begin):
    def __init__(self, args, *more, **named):
        started.append(args[0])
        super().__init__(args, *more, **named)
subprocess.Popen = Recorded
import batchwright.ssh_client
print(*started)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {one.rpartition("/")[2] for one in done.stdout.split()} <= {"ldconfig"}
