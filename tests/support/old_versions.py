"""State folders that earlier versions left, made by those versions themselves, from the history of this repository.

`python -m tests.support.old_versions` writes those of `KEPT` as text into tests/golden/states, which `make test` uses;
`make test-long` makes all of them anew.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.needs import missing

ROOT = Path(__file__).parents[2]
MARKS = ("application_id", "user_version")  # what a database says of itself
STATES = ROOT / "tests/golden/states"
_YEARS = time.time() - datetime(2020, 1, 1, tzinfo=UTC).timestamp()
# The old program starts with this, so that its times are before those of any machine that tests.
_START = (
    f"import runpy, time; now = time.time; time.time = lambda: now() - {_YEARS}; "
    "runpy.run_module('batchwright', run_name='__main__', alter_sys=True)"
)


class Version(NamedTuple):
    """The last commit before a format changed: that of the SQLite store, of events, or the semantics of plans."""

    commit: str
    store: int
    events: int
    semantics: int
    asks: bool = False  # whether its runs can wait for a person

    @property
    def name(self) -> str:
        return f"store-{self.store}-events-{self.events}-semantics-{self.semantics}"


VERSIONS = (
    Version("08c215f4c4", 1, 1, 1),
    Version("8ab15a98", 2, 1, 1),
    Version("ad7322e196", 2, 2, 1),
    Version("b9bbfe037d", 3, 2, 2),
    Version("d0782c633c", 4, 2, 2),
    Version("2332f7481a", 5, 2, 2),
    Version("aad5ac7d", 5, 3, 3, asks=True),
    Version("f0b4e21a", 5, 3, 4, asks=True),
)
KEPT = tuple(VERSIONS[number] for number in (0, 4, 7))


class Case(NamedTuple):
    """A run to make, of the workflow `name`. It is killed after the line that has `killed_at`."""

    name: str
    status: str
    sim: str = "seed=1"
    killed_at: str = ""
    then: tuple[str, ...] = ()
    asks: bool = False


CASES = (
    Case("done", "Completed"),
    Case("broken", "Failed", sim="fail=broken-2=invalid:1"),
    Case("undone", "RolledBack", then=("rollback", "--yes")),
    Case("creating", "Running", killed_at="servers/creating-1: started"),
    Case("installing", "Running", killed_at="installing-1/containerd: started"),
    Case("asking", "Running", killed_at="gate/", asks=True),
)


def workflow(case: Case) -> str:
    """Two servers, and one task service on each."""
    gate = '{ id = "gate", type = "approval", dependencies = ["servers"], ask = "Go on?" },' if case.asks else ""
    after = "gate" if case.asks else "servers"
    server = '{{ name = "{}-{}", plan = "1xCPU-2GB", zone = "de-fra1" }}'
    return f"""{{ batch_workflow = {{ name = "{case.name}", version = "1.0", operations = [
  {{ id = "servers", type = "server_batch", provider = "upcloud",
    server_configs = [ {server.format(case.name, 1)}, {server.format(case.name, 2)} ] }},
  {gate}
  {{ id = "web", type = "taskserv_batch", provider = "upcloud", dependencies = ["{after}"],
    taskservs = ["containerd"], targets = ["servers"] }} ] }} }}
"""


def program(version: Version, folder: Path) -> Path:
    """The sources of a version, with what an installer would say of them. The tests' own packages serve it."""
    to = folder / version.name
    if to.exists():
        return to
    archive = ["git", "archive", version.commit, "src", "schemas", "pyproject.toml"]
    done = subprocess.run(archive, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        missing(f"commit {version.commit} is not in this repository's history: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as packed:
        packed.extractall(to, filter="tar")
    project = tomllib.loads((to / "pyproject.toml").read_text())["project"]
    about = to / "src/batchwright-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: batchwright\nVersion: 0.1.0\n")
    groups = {"console_scripts": project["scripts"], **project.get("entry-points", {})}
    rows = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in names.items()) for group, names in groups.items()]
    (about / "entry_points.txt").write_text("\n".join(rows))
    return to


class OldCommand:
    """Types commands into a version, with a state folder."""

    def __init__(self, version: Version, programs: Path, state: Path) -> None:
        self.command = [sys.executable, "-c", _START]
        self.env = {
            **{name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ},
            "HOME": str(state.parent),
            "PYTHONPATH": str(program(version, programs) / "src"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "BATCHWRIGHT_STATE_DIR": str(state),
            "NO_COLOR": "1",
        }

    def __call__(self, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *words], env=self.env, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip

    @contextmanager
    def started(self, *words: str, folder: Path) -> Iterator[Driver]:
        """A command in the background, until the block ends."""
        with subprocess.Popen(
            [*self.command, *words], env=self.env, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        ) as process:  # fmt: skip
            try:
                yield Driver(process)
            finally:
                process.kill()


class Driver:
    """An old command that drives a run."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def read_until(self, words: str) -> str:
        """Its lines until one has these words."""
        assert self.process.stdout is not None
        told = ""
        for line in self.process.stdout:
            told += line
            if words in line:
                return told
        raise AssertionError(f"{words!r} was not said:\n{told}")

    def rest(self) -> str:
        """Its other lines, once it has ended."""
        assert self.process.stdout is not None
        told = self.process.stdout.read()
        self.process.wait()
        return told


def make_state(version: Version, programs: Path, state: Path, cases: Sequence[Case] = CASES) -> None:
    """Runs of all `cases` that this version knows, in one state folder, each in the status that it names."""
    command = OldCommand(version, programs, state)
    for case in cases:
        if case.asks and not version.asks:
            continue
        file = state.parent / f"{case.name}.ncl"
        file.write_text(workflow(case))
        pace = "time_scale=0.3" if case.killed_at else "time_scale=0.05"  # slow enough to be killed in time
        words = ("run", str(file), "--simulate", "--sim", pace, "--sim", case.sim)
        if case.killed_at:
            with command.started(*words, folder=state.parent) as driver:
                driver.read_until(case.killed_at)  # and it is killed
        else:
            command(*words, folder=state.parent)
        if case.then:
            verb, *more = case.then
            newest = json.loads(command("list", "--json", folder=state.parent).stdout)["runs"][0]["run"]
            done = command(verb, newest, *more, folder=state.parent)
            assert done.returncode == 0, done.stdout + done.stderr
    listed = command("list", "--json", folder=state.parent)
    found = {run["workflow"].split()[0]: run["status"] for run in json.loads(listed.stdout)["runs"]}
    assert found == {case.name: case.status for case in cases if version.asks or not case.asks}, found


def as_text(state: Path) -> dict[str, Any]:
    """The files of a state folder as what JSON can hold: databases by their rows, others by their bytes."""
    files: dict[str, Any] = {}
    for path in sorted(state.rglob("*")):
        if path.is_file() and not path.name.endswith(("-wal", "-shm")):
            database = path.read_bytes()[:16] == b"SQLite format 3\0"
            files[str(path.relative_to(state))] = _database(path) if database else _bytes(path.read_bytes())
    return files


def write_state(files: dict[str, Any], state: Path) -> None:
    """The state folder that `as_text` has read."""
    state.mkdir(mode=0o700)
    (state / "environments").mkdir(mode=0o700)
    for name, content in files.items():
        if "hex" in content:
            (state / name).write_bytes(bytes.fromhex(content["hex"]) + bytes(content["zeros"]))
            continue
        with closing(sqlite3.connect(state / name)) as connection, connection:
            for statement in content["schema"]:
                connection.execute(statement)
            for table, rows in content["rows"].items():
                values = [[_value(cell) for cell in row] for row in rows]
                connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", values)
            for mark in MARKS:
                connection.execute(f"PRAGMA {mark} = {content[mark]}")


def _database(path: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(path)) as connection:
        statements = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")
        schema = [sql for (sql,) in statements]
        tables = re.findall(r"^CREATE TABLE (\w+)", "\n".join(schema), re.MULTILINE)
        found = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}
        marks = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in MARKS}
    rows = {table: [[_cell(value) for value in row] for row in rows] for table, rows in found.items() if rows}
    return {**marks, "schema": schema, "rows": rows}


def _bytes(content: bytes) -> dict[str, Any]:
    kept = content.rstrip(b"\0")
    return {"hex": kept.hex(), "zeros": len(content) - len(kept)}


def _cell(value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return {"text": value.decode()}
    except UnicodeDecodeError:
        return {"hex": value.hex()}


def _value(cell: Any) -> Any:
    if not isinstance(cell, dict):
        return cell
    return cell["text"].encode() if "text" in cell else bytes.fromhex(cell["hex"])


def _write_kept() -> None:
    scratch = Path(tempfile.gettempdir(), "batchwright-states")  # its name is in the journals, so it is always this
    scratch.mkdir()
    try:
        for version in KEPT:
            state = scratch / version.name / "state"
            state.parent.mkdir()
            make_state(version, scratch / "programs", state, [case for case in CASES if case.name != "undone"])
            text = json.dumps(as_text(state), indent=1, ensure_ascii=False)
            (STATES / f"{version.name}.json").write_text(text + "\n")
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    _write_kept()
