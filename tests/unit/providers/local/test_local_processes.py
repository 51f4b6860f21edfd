"""A process is known by its environment, also at the moment at which it becomes another program."""

from __future__ import annotations

import os
import subprocess

from batchwright.providers.local.processes import belongs_to, started_at, started_for
from batchwright.providers.local.records import MARKER

EXECS = 1500
AGAIN = 'n=$1; [ "$n" -eq 0 ] || exec /bin/sh -c "$2" sh "$((n - 1))" "$2"; read _'


def test_a_process_that_becomes_another_program_is_known_all_the_time() -> None:
    environ = {**os.environ, MARKER: "local-execs"}
    line = ["/bin/sh", "-c", AGAIN, "sh", str(EXECS), AGAIN]
    with subprocess.Popen(line, env=environ, stdin=subprocess.PIPE) as process:
        try:
            looks = [belongs_to(process.pid, "local-execs") for _ in range(10_000)]
            assert all(looks), f"{looks.count(False)} of {len(looks)} looks did not know it"
            assert started_for("local-execs") == [process.pid]
            assert not belongs_to(process.pid, "local-other")
        finally:
            process.kill()
    assert started_at(process.pid) is None
    assert not belongs_to(process.pid, "local-execs")
