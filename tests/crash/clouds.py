"""An emulated cloud as the real command in a process of its own, which no kill of the client reaches."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def emulator(cloud: str, seed: int, faults: Sequence[str], time_scale: float = 1.0) -> Iterator[str]:
    """Serves while the `with` lasts; gives its address."""
    words = [word for fault in faults for word in ("--fault", fault)]
    command = [sys.executable, "-m", "batchwright", "emulate", cloud, "--port", "0", "--seed", str(seed), *words]
    with subprocess.Popen([*command, "--time-scale", str(time_scale)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            yield first.split()[4].rstrip(",")
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)


def look(url: str) -> dict[str, Any]:
    """What the cloud holds, as its own page for people and tests tells."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        found = json.load(answer)
    assert isinstance(found, dict)
    return found
