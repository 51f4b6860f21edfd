"""Descriptors, processes, memory, disk space: resources that a machine can run out of and have again later."""

from __future__ import annotations

import errno
import os
import resource

from batchwright.model.clock import Clock

SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN, errno.ENOSPC, errno.EDQUOT})
SPARE = 12  # descriptors that starting a program or connecting to a host takes at most
WAIT_SECONDS = 60.0  # to wait for free descriptors before a step is retried later
LOOK_SECONDS = 0.25
MANY = 1_048_576  # descriptors, where the hard limit is none


_given: list[tuple[int, int]] = []  # the limit that this process was started with, once it was raised


def given() -> tuple[int, int] | None:
    """The descriptor limits that this process was started with, if it has raised them."""
    return _given[0] if _given else None


def raise_descriptors() -> int:
    """Raise the soft limit of open descriptors to the hard one, for this process. Gives the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MANY if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            _given[:] = _given or [(soft, hard)]
        except (OSError, ValueError):  # macOS allows less than its hard limit says
            return soft
    return min(wanted, MANY)


def is_shortage(error: BaseException) -> bool:
    """Whether the machine lacked a resource that may become free again, so the attempt itself was not at fault."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, RuntimeError):  # how Python says that the system gives it no more threads
        return "can't start new thread" in str(error)
    return isinstance(error, OSError) and error.errno in SHORT


def has_room(spare: int = SPARE) -> bool:
    """Whether so many descriptors can be opened now."""
    opened: list[int] = []
    try:
        opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        while len(opened) < spare:
            opened.append(os.dup(opened[0]))  # counts like any other, and costs a tenth of opening a file
    except OSError as error:
        if is_shortage(error):
            return False
        raise
    finally:
        for one in opened:
            os.close(one)
    return True


async def room(clock: Clock, seconds: float = WAIT_SECONDS) -> bool:
    """Wait until there are descriptors for a program or a connection; False when there are none after `seconds`."""
    until = clock.now() + seconds
    while not has_room():
        if clock.now() >= until:
            return False
        await clock.sleep(LOOK_SECONDS)
    return True
