"""docs/tutorial.md: every line that it says to type is run, in its order, and prints what is shown there."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from pathlib import Path

from tests.e2e.test_readme import assert_shown, typed
from tests.support.command_line import COMMAND, PATIENCE, environment, run_in_process

TUTORIAL = (Path(__file__).parents[2] / "docs/tutorial.md").read_text()
KILL = " & sleep 1; kill -9 $!"
PACE = ("--sim", "time_scale=0.1")  # a reader has more time


def carried_out(line: str, folder: Path, env: dict[str, str], code: int) -> str:
    words = shlex.split(line.removesuffix(KILL))
    if words[0] != "batchwright":
        subprocess.run(line, shell=True, cwd=folder, env=env, timeout=PATIENCE, check=True)
        return ""
    if words[1] == "run":
        words += PACE
    if line.endswith(KILL):
        pipe = subprocess.PIPE
        with subprocess.Popen([*COMMAND, *words[1:]], cwd=folder, env=env, stdout=pipe, text=True) as process:
            assert process.stdout is not None
            seen = any("servers/shop-3: started" in told for told in process.stdout)
            os.kill(process.pid, signal.SIGKILL)
        assert seen
        return ""
    if words[1] in ("rollback", "destroy") and "--plan" not in words:
        words.append("--yes")  # there is no terminal to ask on
    done = run_in_process(words[1:], env, folder)
    assert done.returncode == code, (line, done.stdout, done.stderr)
    return done.stderr + done.stdout


def test_the_tutorial(tmp_path: Path) -> None:
    env = environment(tmp_path)
    text = TUTORIAL.split("\n## Install\n")[0]
    codes = [int(line.endswith("# exit code 1")) for line in re.findall(r"^    \$ (.*)$", text, re.MULTILINE)]
    lines = typed(text)
    assert len(lines) > 25
    for (line, shown), code in zip(lines, codes, strict=True):
        assert_shown(line, shown, carried_out(line, tmp_path, env, code))
