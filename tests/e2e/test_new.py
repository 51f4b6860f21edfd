"""`batchwright new`: what it writes passes its tests as it is, and nothing is overwritten."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from tests.support.command_line import SOURCES, Command

SIMULATED = ("--simulate", "--sim", "time_scale=0.001")


@pytest.fixture
def batchwright(tmp_path: Path) -> Command:
    return Command(tmp_path, BATCHWRIGHT_STATE_DIR=str(tmp_path / "state"))


def test_a_workflow_is_valid_and_runs(batchwright: Command, tmp_path: Path) -> None:
    written = batchwright.json("new", "workflow", "my-blog", "--to", "flows")
    assert written["written"] == ["flows/my-blog.ncl"]
    batchwright("validate", "flows/my-blog.ncl")
    assert batchwright.json("run", "flows/my-blog.ncl", *SIMULATED)["status"] == "Completed"
    before = (tmp_path / "flows/my-blog.ncl").read_text()
    assert "skeleton" not in before
    assert "flows/my-blog.ncl exists" in batchwright("new", "workflow", "my-blog", "--to", "flows", code=2).stderr
    assert (tmp_path / "flows/my-blog.ncl").read_text() == before
    assert [path.name for path in (tmp_path / "flows").iterdir()] == ["my-blog.ncl"]


def test_a_task_service_passes_its_check_and_is_installed(batchwright: Command, tmp_path: Path) -> None:
    told = batchwright("new", "taskserv", "greeter")
    assert "batchwright taskservs check taskservs/greeter" in told.stdout
    assert "no mistakes" in batchwright("taskservs", "check", "taskservs/greeter").stdout
    batchwright("new", "workflow", "hello")
    flow = tmp_path / "hello.ncl"
    flow.write_text(flow.read_text().replace('"nginx"', '"greeter"'))
    run = batchwright.json("run", "hello.ncl", "--catalogue", "taskservs", *SIMULATED)
    assert run["status"] == "Completed"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("provider", "aws"), "there is already a provider named aws"),
        (("taskserv", "redis"), "there is already a taskserv named redis"),
        (("provider", "My_Cloud"), "'My_Cloud' cannot be the name of a provider"),
        (("workflow", "../up"), "'../up' cannot be the name of a workflow"),
        (("workflow", "a-"), "'a-' cannot be the name"),
        (("workflow", "x" * 41), f"'{'x' * 41}' cannot be the name"),
        (("workflow", "fine", "--to", "a-file"), "cannot write a-file/fine.ncl"),
    ],
)
def test_a_name_that_cannot_be_is_refused(
    batchwright: Command, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "a-file").touch()
    told = batchwright("new", *words, code=2).stderr
    assert f"error: {said}" in told
    assert "hint: " in told
    assert [path.name for path in tmp_path.iterdir() if path.name != "state"] == ["a-file"]


def test_a_link_that_leads_nowhere_is_not_followed(batchwright: Command, tmp_path: Path) -> None:
    (tmp_path / "flow.ncl").symlink_to(tmp_path / "elsewhere")
    assert "flow.ncl exists" in batchwright("new", "workflow", "flow", code=2).stderr
    assert not (tmp_path / "elsewhere").exists()


def test_a_provider_is_installed_passes_the_suite_and_makes_servers(batchwright: Command, tmp_path: Path) -> None:
    batchwright("new", "provider", "my-cloud")
    home, package = tmp_path / "venv", tmp_path / "batchwright-my-cloud"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "needed.pth").write_text(f"{sysconfig.get_path('purelib')}\n{SOURCES}\n")  # what pip would fetch
    install = ["--no-index", "--no-build-isolation", "--no-deps", "--disable-pip-version-check", "-e", str(package)]
    python = home / "bin/python"
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", *install], check=True)
    environ = {**batchwright.env, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": ""}

    def done(*words: str, folder: Path = tmp_path) -> str:
        command = [python, "-m", *words]
        got = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
        assert got.returncode == 0, got.stdout + got.stderr
        return got.stdout

    told = done("pytest", "-q", "-W", "error", folder=package)
    assert "18 passed, 12 skipped" in told
    assert "my-cloud" in done("batchwright", "providers")
    (tmp_path / "mine.yaml").write_text(
        "batch_workflow:\n  name: mine\n  version: '1'\n  operations:\n    - id: web\n      type: server_batch\n"
        "      provider: my-cloud\n      server_configs: [{name: web-1, plan: small, zone: here}]\n"
    )
    done("batchwright", "run", "mine.yaml")
    assert "my-cloud-1" in (tmp_path / "state/my-cloud.json").read_text()
    done("batchwright", "rollback", "mine", "--yes")
    assert (tmp_path / "state/my-cloud.json").read_text() == "[]"
