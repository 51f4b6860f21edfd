"""The command starts without any extra, and loads only what the named command needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXTRAS = (
    *("aiohttp", "asyncssh", "boto3", "botocore", "cryptography", "litestar", "prometheus_client"),
    *("psycopg", "pyinfra", "surrealdb", "temporalio", "uvicorn"),
)
START = """
import sys
sys.modules.update(dict.fromkeys(sys.argv[1].split()))
sys.argv[1:] = sys.argv[2:]
from batchwright.cli.main import run_command
import batchwright.__main__
code = run_command(sys.argv[1:])
print("loaded", *sys.modules, file=sys.stderr)
sys.exit(code)
"""
EVALUATION = ("batchwright.loader", "batchwright.app.plans", "batchwright.app.adapters", "yaml", "nickel")
COSTLY = ("batchwright.serve", "batchwright.providers.registry", "psycopg", "asyncssh", "aiohttp")


def loaded(*words: str, without: str = "") -> set[str]:
    """The modules that a command loads; it must end well."""
    command = [sys.executable, "-c", START, without, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("words", [["--version"], ["version"], ["list"], ["environments"], ["serve", "--help"]])
def test_no_extra_is_needed(words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BATCHWRIGHT_STATE_DIR", str(tmp_path / "state"))
    loaded(*words, without=" ".join(EXTRAS))


@pytest.mark.parametrize(
    ("words", "unneeded", "most"),
    [(["--version"], (*EVALUATION, *COSTLY, "asyncio", "sqlite3"), 300), (["list"], (*EVALUATION, *COSTLY), 600)],
)
def test_a_command_loads_what_it_needs(
    words: list[str],
    unneeded: tuple[str, ...],
    most: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("BATCHWRIGHT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    found = loaded(*words)
    assert found & set(unneeded) == set()
    assert len(found) <= most, "each takes a third of a millisecond: which one does everybody wait for now?"
