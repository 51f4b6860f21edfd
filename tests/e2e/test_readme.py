"""README: every line that it says to type is run, in its order, and prints what is shown there."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.command_line import COMMAND, PATIENCE, environment, run_as_process, run_in_process
from tests.support.needs import tool
from tests.support.nushell import Nu
from tests.support.sandboxes import leftovers, need_sandboxes
from tests.support.service_process import service_process

from batchwright.providers.aws.instance_type_aliases import SIZES
from batchwright.providers.simulated.catalog import PROFILES

pytestmark = pytest.mark.usefixtures("own_start")
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
MAKE_RUN = "run workflows/local_services.ncl --resume"
KILL = " & sleep 3; kill -9 $!"
NOT_RUN = {  # and why
    "make run": "here the same file is run simulated: a database takes long to install",
    ". .venv/bin/activate": "the commands of the virtual environment are on the path of the tests",
    "batchwright serve --simulate &": "started by `service_process`, which chooses another port",
    "open http://localhost:9090/docs": "opens a browser",
}
SECTIONS = ("Try it", "The life of an environment", "The workflow file", "The service")  # each has a test below


def section(title: str) -> str:
    """The text under this heading."""
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def code(text: str) -> Iterator[str]:
    """The lines of the blocks of code in a text, fenced or indented, but for workflow files."""
    fence = ""
    for line in text.replace("\\\n", "").splitlines():
        if line.startswith("```"):
            fence = "" if fence else line
        elif fence == "```" or (not fence and line.startswith("    ")):
            yield line if fence else line[4:]


def typed(text: str) -> list[tuple[str, list[str]]]:
    """Each line to be typed, without its remark, and the lines that are shown under it."""
    found: list[tuple[str, list[str]]] = []
    for line in code(text):
        if line.startswith("$ "):
            found.append((re.sub(r"\s+# .*", "", line[2:]), []))
        else:
            found[-1][1].append(line)
    return found


def alike(line: str) -> str:
    """Without what is another one each time: ids, hashes, addresses, dates, durations, and the width of columns."""
    for pattern, word in (
        (r"[a-z2-7]{12}", "ID"), (r"\b[0-9a-f]{16}\b", "HASH"), (r"\d+(\.\d+){3}", "ADDRESS"),
        (r"\b\d\d-\d\d \d\d:\d\d", "DATE"), (r"\b[\d.]+ (min \d\d )?s\b", "TIME"),
    ):  # fmt: skip
        line = re.sub(pattern, word, line)
    return " ".join(line.split())


def assert_shown(line: str, shown: list[str], printed: str) -> None:
    """What README shows is printed, in this order. Only where it has `...` something else stands between."""
    rest = [alike(one) for one in printed.splitlines() if one.strip()]
    gap = False
    for wanted in map(alike, shown):
        if wanted == "...":
            gap = True
            continue
        where = rest.index(wanted) if gap and wanted in rest else 0
        assert rest[where : where + 1] == [wanted], (line, wanted, printed)
        rest, gap = rest[where + 1 :], False
    assert gap or not shown or not rest, (line, rest)


class Visitor:
    """Types README's lines in a folder that has the repository's workflows, as a user who has set nothing."""

    def __init__(self, folder: Path, cache: Path | None = None) -> None:
        self.folder = folder
        self.env = environment(folder, **({"XDG_CACHE_HOME": str(cache)} if cache else {}))
        (folder / "workflows").symlink_to(ROOT / "workflows")

    def __call__(self, line: str) -> str:
        program, *words = shlex.split(line)
        if line.endswith(KILL):
            return self._killed(shlex.split(line.removesuffix(KILL))[1:])
        if program != "batchwright":
            subprocess.run(line, shell=True, cwd=self.folder, env=self.env, timeout=PATIENCE, check=True)
            return ""
        if words[0] in ("rollback", "destroy") and "--plan" not in words:
            words.append("--yes")  # there is no terminal to ask on
        run = run_as_process if words[:2] == ["servers", "ssh"] else run_in_process  # `ssh` takes the process's place
        done = run(words, self.env, self.folder)
        expected = 2 if words[0] == "drift" and "drifted" in done.stdout.split(maxsplit=1)[0] else 0
        assert done.returncode == expected, (line, done.stdout, done.stderr)
        return done.stderr + done.stdout

    def _killed(self, words: list[str]) -> str:
        """Killed while a task service is installed, which README waits three seconds for."""
        process = subprocess.Popen(
            [*COMMAND, *words],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            seen = next((told for told in process.stdout if "web-2/nginx: started" in told), "")
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)
            process.stdout.close()
        assert seen
        return ""


def test_every_line_of_readme_is_in_a_section_that_is_run() -> None:
    lines = [line for line, _ in typed(README)]
    run = [line for title in SECTIONS for line, _ in typed(section(title))]
    assert sorted(lines) == sorted(run)
    assert [line for line in NOT_RUN if line not in lines] == []
    assert len(lines) > 30


def test_the_first_lines(tmp_path: Path) -> None:
    visitor = Visitor(tmp_path)
    visitor(f"batchwright {MAKE_RUN} --sim time_scale=0")
    for line, shown in typed(section("Try it")):
        if line not in NOT_RUN:
            assert_shown(line, shown, visitor(line))


def test_the_life_of_an_environment(tmp_path: Path) -> None:
    visitor = Visitor(tmp_path, need_sandboxes().parents[2])
    refs: set[str] = set()
    for line, shown in typed(section("The life of an environment")):
        printed = visitor(line)
        assert_shown(line, shown, printed)
        refs |= set(re.findall(r"local-[a-z2-7]{12}", printed))
    assert len(refs) >= 3
    assert leftovers(tmp_path / ".local" / "state" / "batchwright", refs) == []


def test_the_file_in_readme_is_the_file_that_is_run() -> None:
    (shown,) = re.findall(r"^```nickel\n(.*?)^```$", section(SECTIONS[1]), re.MULTILINE | re.DOTALL)
    assert (ROOT / "workflows" / "site.ncl").read_text().split("\n", 1)[1] == shown


@pytest.mark.parametrize(
    ("shown", "fits"),
    [
        (["run 7wq2d5kzt6ua", "done"], True),
        (["..."], True),
        (["...", "done"], True),
        (["run 7wq2d5kzt6ua", "..."], True),
        (["run 7wq2d5kzt6ua"], False),
        (["done"], False),
        (["...", "other"], False),
        (["...", "done", "run 7wq2d5kzt6ua"], False),
    ],
)
def test_what_is_shown_must_be_what_is_printed(shown: list[str], fits: bool) -> None:
    if fits:
        assert_shown("", shown, "run iub5k3tvvzda\n\ndone\n")
    else:
        with pytest.raises(AssertionError):
            assert_shown("", shown, "run iub5k3tvvzda\n\ndone\n")


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


def test_a_broken_file_is_answered_as_readme_shows(tmp_path: Path) -> None:
    (tmp_path / "broken.ncl").write_text(BROKEN)
    ((command, shown),) = typed(section("The workflow file"))
    line, pipe = [*COMMAND, *command.split()[1:]], subprocess.PIPE
    done = subprocess.run(line, cwd=tmp_path, stdout=pipe, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout.splitlines()) == (1, shown)


def test_the_lines_for_a_service_work_in_their_order(tmp_path: Path) -> None:
    """As they stand, but for the port, and the id of the run."""
    lines = [line for line, _ in typed(section("The service")) if line not in NOT_RUN]
    tool("curl", "scripts/tools.sh")
    nu, run = Nu(tmp_path, "").binary, ""
    with service_process(tmp_path, "--simulate", "--sim", "time_scale=0.1") as (url, _):
        environ = {**environment(tmp_path), "BATCHWRIGHT_URL": url}
        for line in lines:
            words = line.replace("http://localhost:9090", url).replace("<workflow_id>", run)
            words = re.sub(r"^nu ", f"{shlex.quote(nu)} ", words)
            done = subprocess.run(
                words, shell=True, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=PATIENCE,
                stdin=subprocess.DEVNULL, check=False,
            )  # fmt: skip
            assert done.returncode == 0, (line, done)
            if line.startswith("curl"):
                assert "multi_cloud_deployment" in done.stdout, (line, done)
            else:
                run = run or re.findall(r"[a-z2-7]{12}", done.stdout)[0]
    assert run


def test_what_make_is_asked_for_is_there() -> None:
    rules = (ROOT / "Makefile").read_text()
    asked = re.findall(r"(?:`|^    \$ )make ([a-z-]+)", README, re.MULTILINE)
    assert {"run", "demo", "rehearsal", "test"} <= set(asked)
    assert [name for name in asked if not re.search(rf"^{name}[ a-z-]*:", rules, re.MULTILINE)] == []
    assert MAKE_RUN in (ROOT / "scripts" / "run.sh").read_text()


@pytest.mark.parametrize("file", sorted(path.name for path in (ROOT / "workflows").glob("*.ncl")))
def test_every_shipped_workflow_can_be_simulated(tmp_path: Path, file: str) -> None:
    Visitor(tmp_path)(f"batchwright run workflows/{file} --sim time_scale=0")


def test_the_simulated_place_sells_what_the_real_one_takes() -> None:
    plans = PROFILES["aws"].plans
    assert set(SIZES) <= set(plans)
    assert [name for name, means in SIZES.items() if means in plans and plans[means] != plans[name]] == []
