"""Stands in for the runner's child process: does what the name of the task service says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from batchwright.taskservs.runner.child_protocol import Done, OutputLine, Stopped, job_decoder, stop_decoder, written


def say(word: Done | OutputLine | Stopped) -> None:
    sys.stdout.buffer.write(written(word))
    sys.stdout.buffer.flush()


def main() -> None:
    job = job_decoder.decode(sys.stdin.buffer.readline())
    if job.name == "says":
        os.write(1, Path(job.folder).read_bytes())
        return
    first, *rest = (host.id for host in job.hosts)
    say(OutputLine(first, f"{job.verb} {job.name} for {', '.join((first, *rest))}"))
    match job.name:
        case "answers":
            for host in (first, *rest):
                say(Done(host, ok=True))
        case "dies":
            say(Done(first, ok=True))
            print("the last words", file=sys.stderr, flush=True)
            os._exit(9)
        case "babbles":
            os.write(1, b"this is no message\n")
            sys.stdin.buffer.read()
        case "obeys":
            say(Stopped(stop_decoder.decode(sys.stdin.buffer.readline()).host))
            sys.stdin.buffer.read()
        case "environment":
            say(OutputLine(first, ",".join(sorted(os.environ))))
            say(Done(first, ok=True))
        case "starts" | "hangs":
            started = subprocess.Popen(["sleep", "1000"])
            say(OutputLine(first, f"{os.getpid()} {started.pid}"))
            while job.name == "hangs":
                signal.pause()
            for host in (first, *rest):
                say(Done(host, ok=True))
        case "is-deaf":
            while True:
                sys.stdin.buffer.read()
