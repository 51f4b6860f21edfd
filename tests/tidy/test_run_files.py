"""How many files a reader has to open to follow a run of one simulated server; it must not creep up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.support import executed_files
from tests.support.command_line import environment

# ten of them for environments: whose turn it is, what they have, what is retired, twins; three for servers; four for
# what a run records of its inputs; three that ask whether the file is a plan; four for guardrails: what the operator
# has set, prices; one for the plan as a difference; one for the fold of sweeps, which stands beside the fold;
# three for questions to people: who may answer, what is asked, the terminal;
# two for waves: what waits for what, and the waves of a plan in words;
# one for where else servers may be created; one for what stores in SQL share;
# one for which plug-ins are installed
FILES_MOST = 150
DRAWN = {"views/eta.py", "operations/base.py"}  # by a screen that is drawn while the run lasts: on a busy machine
FILE = """{ batch_workflow = {
  name = "one", version = "1", operations = [{
    id = "web", type = "server_batch", provider = "simulated",
    server_configs = [{ name = "web-01", plan = "small", zone = "zone-a" }],
  }],
} }"""
NEEDLESS = (  # rooms and files that such a run has no use for
    *("taskservs/", "commands/", "emulators/", "service/", "api/", "providers/local/", "providers/aws/"),
    *("operations/command.py", "operations/taskserv_batch/", "app/program_and_secret_allowlist.py"),
)


def test_a_run_executes_few_files(tmp_path: Path) -> None:
    file = tmp_path / "one.ncl"
    file.write_text(FILE, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, executed_files.__file__, "run", str(file), "--state-dir", "state", "--sim", "time_scale=0.01"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    executed = json.loads(ran.stdout.splitlines()[-1])
    listed = "\n".join(f"{name}: {', '.join(functions)}" for name, functions in executed.items())
    assert "engine/loop.py" in executed, listed
    assert [name for name in executed if name.startswith(NEEDLESS)] == []
    assert len(executed.keys() - DRAWN) <= FILES_MOST, f"{len(executed)} files:\n{listed}"
