"""C14: what README says to type, in its order. Servers are simulated; `make run` is what scripts/run.sh does."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.support.command_line import COMMAND, PATIENCE, environment, run_in_process
from tests.support.needs import tool
from tests.support.nushell import Nu
from tests.support.service_process import service_process

from batchwright.providers.aws.instance_types import SIZES
from batchwright.providers.simulated.catalog import PROFILES

ROOT = Path(__file__).parents[2]
MAKE_RUN = "run workflows/local_services.ncl --resume"
SLOW = "--sim boot_seconds=6"


def typed() -> list[str]:
    """The lines of "Try it" that begin with a prompt, without their remarks."""
    part = (ROOT / "README.md").read_text().split("## Try it")[1].split("\n## ")[0]
    return [re.sub(r"\s+# .*", "", line) for line in re.findall(r"^    \$ (.+)$", part, re.MULTILINE)]


class Visitor:
    """Types README's lines in the root of the repository, simulated."""

    def __init__(self, folder: Path) -> None:
        self.env = {**os.environ, "BATCHWRIGHT_STATE_DIR": str(folder), "NO_COLOR": "1", "COLUMNS": "100"}

    def __call__(self, line: str) -> str:
        words = line.split()
        more = ["--sim", "time_scale=0"] if words[0] == "run" else []
        more += ["--simulate"] if words[0] in ("servers", "plan", "destroy") else []
        more += ["--yes"] if words[0] in ("rollback", "destroy") else []
        done = run_in_process([*words, *more], self.env, ROOT)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        return done.stdout

    def killed(self) -> None:
        """A run that is killed while its servers are made."""
        line = [*COMMAND, *MAKE_RUN.split(), *SLOW.split()]
        process = subprocess.Popen(line, cwd=ROOT, env=self.env, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            for told in process.stdout:
                if "servers/" in told and "started" in told:
                    break
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)
            process.stdout.close()


def test_every_line_works_in_its_order(tmp_path: Path) -> None:
    visitor = Visitor(tmp_path / "state")
    visitor(MAKE_RUN)
    lines = typed()
    assert len(lines) >= 7
    until = time.monotonic() + PATIENCE * len(lines)
    for line in lines:
        assert time.monotonic() < until
        if line == "make run":
            told = visitor(MAKE_RUN)
        elif "pkill" in line:
            assert line.startswith("make run &")
            visitor.killed()
            told = ""
        else:
            program, words = line.split(maxsplit=1) if " " in line else (line, "")
            assert program == ".venv/bin/batchwright", line
            told = visitor(words)
        assert "created nothing" not in told


BROKEN = """{
  batch_workflow = {
    name = "shop",
    version = "1",
    parallel_limit = "5",
    operations = [
      { id = "web", type = "server_batch", provider = "upclod",
        server_configs = [{ name = "web-01", plan = "1xCPU-2GB", zone = "de-fra1" }] },
      { id = "cache", type = "taskserv_batch", provider = "aws",
        dependencies = ["wb"], taskserv = ["redis"] },
    ],
  },
}
"""


def block(begins: str) -> list[str]:
    """The lines of README's block of code in which this line stands first."""
    text = (ROOT / "README.md").read_text()
    (found,) = [part for part in text.split("```")[1::2] if part.split("\n", 1)[1].startswith(begins)]
    return found.split("\n")[1:-1]


def test_what_is_said_of_a_broken_file_is_what_readme_shows(tmp_path: Path) -> None:
    (tmp_path / "broken.ncl").write_text(BROKEN)
    command, *shown = block("$ batchwright validate broken.ncl")
    line, pipe = [*COMMAND, *command.split()[2:]], subprocess.PIPE
    done = subprocess.run(line, cwd=tmp_path, stdout=pipe, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout.splitlines()) == (1, shown)


def test_the_lines_for_a_service_work_in_their_order(tmp_path: Path) -> None:
    """C14: as they stand, but for the port, and for pages that only a person opens."""
    command, *lines = "\n".join(block("$ .venv/bin/batchwright serve")).replace("\\\n", "").splitlines()
    assert command == "$ .venv/bin/batchwright serve --simulate &"
    tool("curl", "scripts/tools.sh")
    nu = Nu(tmp_path, "")
    with service_process(tmp_path, "--simulate") as (url, _):
        environ = {**environment(tmp_path), "BATCHWRIGHT_URL": url}
        for line in (line[2:].replace("http://localhost:9090", url) for line in lines if line.startswith("$ curl")):
            done = subprocess.run(
                line, shell=True, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False
            )
            assert (done.returncode, "multi_cloud_deployment" in done.stdout) == (0, True), (line, done)
        run = ""
        for line in block('nu -c "use core'):
            words = shlex.split(line.replace("<workflow_id>", run))
            done = subprocess.run(
                [nu.binary, *words[1:]], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=PATIENCE,
                stdin=subprocess.DEVNULL, check=False,
            )  # fmt: skip
            assert done.returncode == 0, (line, done)
            run = run or re.findall(r"[a-z2-7]{12}", done.stdout)[0]


def test_what_make_is_asked_for_is_there() -> None:
    rules = (ROOT / "Makefile").read_text()
    asked = re.findall(r"^    (?:\$ )?make ([a-z-]+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert {"run", "demo", "rehearsal", "test"} <= set(asked)
    assert [name for name in asked if not re.search(rf"^{name}:", rules, re.MULTILINE)] == []
    assert MAKE_RUN in (ROOT / "scripts" / "run.sh").read_text()


@pytest.mark.parametrize("file", sorted(path.name for path in (ROOT / "workflows").glob("*.ncl")))
def test_every_shipped_workflow_can_be_simulated(tmp_path: Path, file: str) -> None:
    visitor = Visitor(tmp_path / "state")
    visitor(f"run workflows/{file}")


def test_the_simulated_place_sells_what_the_real_one_takes() -> None:
    plans = PROFILES["aws"].plans
    assert set(SIZES) <= set(plans)
    assert [name for name, means in SIZES.items() if means in plans and plans[means] != plans[name]] == []
