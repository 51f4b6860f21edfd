"""B5: pyinfra reads a command's output for as long as anything holds it open; the child process ends that."""

from __future__ import annotations

import io
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

from batchwright.taskservs.runner.pyinfra_login_output import PyinfraMarkedOutput

SCRIPT = """
from batchwright.taskservs.runner import child_main as child
import os, subprocess, threading
child.REST_SECONDS = 0.2

class PyinfraMarkedOutput:
    def __init__(self):
        self.status_event, self.closed = threading.Event(), threading.Event()
    def close(self):
        self.closed.set()

class Output:
    def __init__(self, channel, lines):
        self.channel, self.lines = channel, lines
    def __iter__(self):
        yield from self.lines
        self.channel.closed.wait()  # something else holds it open, until the channel is closed

channel = PyinfraMarkedOutput()
channel.status_event.set()  # the command has ended
read = child._read_to_the_end_of_the_command
told = read(Output(channel, ["one\\n"]), Output(channel, []), timeout=60, print_output=False, print_prefix="")
assert told.stdout_lines == ["one"], told
assert channel.closed.is_set()

other = PyinfraMarkedOutput()
other.closed.set()  # a usual one: its output ends, and nothing is closed later
told = read(Output(other, ["two\\n"]), Output(other, []), timeout=60, print_output=False, print_prefix="")
assert told.stdout == "two"
print("done")
"""


def test_reading_ends_soon_after_the_command() -> None:
    """B5"""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=100)
    assert done.stdout == "done\n", done.stderr


class Stream(io.BytesIO):
    """One of paramiko's, which decodes what it gives unless it is asked for bytes."""

    channel: Any = None


class Sent:
    """A channel of a command that has said this."""

    def __init__(self, said: bytes) -> None:
        self._said = said

    def makefile(self, mode: str) -> Any:
        stream = Stream(self._said)
        return stream if "b" in mode else io.TextIOWrapper(stream, "utf-8")

    makefile_stderr = makefile


def test_output_that_is_no_text_ends_no_reading() -> None:
    """pyinfra's reader would die of it, and the command wait for ever with its output full."""

    class Client:
        def exec_command(self, _command: str) -> Any:
            sent = Sent(f"{channel._nonce}\n".encode() + b"one \xff\ntwo\n")
            stdout = Stream()
            stdout.channel = sent
            return io.StringIO(), stdout, stdout

    connector = SimpleNamespace(client=Client())
    channel = PyinfraMarkedOutput(connector)
    _, stdout, stderr = connector.client.exec_command("do")
    assert [*stdout] == [*stderr] == ["one \N{REPLACEMENT CHARACTER}\n", "two\n"]
