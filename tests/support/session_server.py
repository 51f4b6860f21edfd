"""A server that all workers of a test session share: started for the first who asks, ended when the last has gone."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

_words: dict[str, str] = {}


def shared(session: Path, module: str) -> str:
    """What the keeper of a module says of its server: where it is. `session` is the folder of the test session."""
    if module not in _words:
        # held until this process ends
        lock = os.open(session / f"{module}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_SH)
        with (session / f"{module}.begun").open("a+") as begun:
            fcntl.flock(begun, fcntl.LOCK_EX)
            place = session / f"{module}.place"
            if not place.exists():
                place.write_text(_kept(session, module))
            _words[module] = place.read_text()
    return _words[module]


def _kept(session: Path, module: str) -> str:
    keeper = subprocess.Popen(
        [sys.executable, "-m", f"tests.support.{module}", str(session)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the tests, and ends the server by ending them
    )
    assert keeper.stdout is not None
    said = keeper.stdout.readline().strip()
    keeper.stdout.close()
    keeper.returncode = 0  # it outlives this process
    assert said, "the server was not started"
    return said


def keep(session: Path, module: str, said: str) -> None:
    """In the keeper: say where the server is, and return when no process of the session is left."""
    with (session / f"{module}.lock").open("a") as lock:
        sys.stdout.write(f"{said}\n")
        sys.stdout.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)  # when nobody holds it any more
        (session / f"{module}.place").unlink(missing_ok=True)
