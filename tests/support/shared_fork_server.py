"""The fork server that all tests of a process share: loading pyinfra takes half a second."""

from __future__ import annotations

from functools import cache

from batchwright.taskservs.runner.fork_server import ForkServer


@cache
def fork_server() -> ForkServer:
    """Starts at its first use, and ends with the process."""
    return ForkServer()
