"""Stands in for the runner's child process: does what the name of the task service says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from batchwright.taskservs.runner.child_protocol import (
    CommandChunk,
    Done,
    OutputLine,
    RunCommand,
    Word,
    job_decoder,
    reply_decoder,
    written,
)


def say(word: Word) -> None:
    sys.stdout.buffer.write(written(word))
    sys.stdout.buffer.flush()


def main() -> None:
    job = job_decoder.decode(sys.stdin.buffer.readline())
    if job.name == "says":
        os.write(1, Path(job.folder).read_bytes())
        return
    say(OutputLine(f"{job.verb} {job.name} for {job.host.name}"))
    match job.name:
        case "answers":
            say(Done(ok=True))
        case "dies":
            print("the last words", file=sys.stderr, flush=True)
            os._exit(9)
        case "babbles":
            os.write(1, b"this is no message\n")
            sys.stdin.buffer.read()
        case "environment":
            say(OutputLine(",".join(sorted(os.environ))))
            say(Done(ok=True))
        case "runs":
            for command in ("one", "two"):
                say(RunCommand(command, b"input"))
                while isinstance(reply := reply_decoder.decode(sys.stdin.buffer.readline()), CommandChunk):
                    say(OutputLine(f"{command}: {reply.data.decode()}"))
                say(OutputLine(f"{command}: {reply}"))
            say(Done(ok=True))
        case "starts" | "hangs":
            started = subprocess.Popen(["sleep", "1000"])
            say(OutputLine(f"{os.getpid()} {started.pid}"))
            while job.name == "hangs":
                signal.pause()
            say(Done(ok=True))
