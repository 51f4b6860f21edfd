"""The command starts without any extra: what belongs to one is imported only by what needs it."""

from __future__ import annotations

import subprocess
import sys

EXTRAS = (
    *("aiohttp", "asyncssh", "boto3", "botocore", "cryptography", "litestar", "prometheus_client"),
    *("psycopg", "pyinfra", "surrealdb", "temporalio", "uvicorn"),
)
START = "import sys; sys.modules.update(dict.fromkeys(sys.argv[1:])); import batchwright.serve"


def test_the_command_needs_no_extra_to_start() -> None:
    done = subprocess.run([sys.executable, "-c", START, *EXTRAS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
