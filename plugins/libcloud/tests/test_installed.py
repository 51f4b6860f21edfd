"""The plug-in as people install it: its wheel beside that of Batchwright, in an environment with nothing else in it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PLUGIN = Path(__file__).parents[1]
ROOT = PLUGIN.parents[1]
FLOW = """{
  batch_workflow = {
    name = "shop", version = "1",
    operations = [
      {
        id = "web", type = "server_batch",
        provider = "libcloud",
        server_configs = [{ name = "web-1", plan = "small", zone = "lon1", image = "debian" }],
      }
    ],
  }
}
"""


class Environment:
    """A virtual environment with what Batchwright, the plug-in and its emulator need, and none of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"])
        self.bin = folder / "venv" / "bin"
        packages = next((folder / "venv" / "lib").glob("python*/site-packages"))
        for name in ["aiohttp", *needed("aiohttp", "batchwright", "batchwright-libcloud")]:
            for part in parts(name):
                if not (packages / part.name).exists():
                    (packages / part.name).symlink_to(part)

    def install(self, project: Path) -> None:
        """Build the wheel of a project and install it."""
        place = Path(tempfile.mkdtemp(dir=self.folder))
        run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", place], cwd=project)
        (wheel,) = place.glob("*.whl")
        self.pip("install", "--quiet", "--no-index", wheel)

    def pip(self, *arguments: str | Path) -> None:
        run([sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", self.bin / "python", *arguments])

    def batchwright(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environ = {"HOME": str(self.folder), "PATH": "/usr/bin:/bin"}
        command = [str(self.bin / "batchwright"), *arguments]
        return subprocess.run(command, cwd=self.folder, env=environ, capture_output=True, text=True, check=False)


def run(command: list[str | Path], cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def needed(*roots: str) -> list[str]:
    """The distributions that these need, without these."""
    found, left = set(roots), list(roots)
    while left:
        for text in distribution(left.pop()).requires or []:
            requirement = Requirement(text)
            name = requirement.name.lower()
            if (requirement.marker is None or requirement.marker.evaluate({"extra": ""})) and name not in found:
                found.add(name)
                left.append(name)
    return sorted(found - set(roots))


def parts(name: str) -> Iterator[Path]:
    """What a distribution has in the folder of packages."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        pytest.fail(f"{name} is needed and is not installed here")
    names = {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}
    return (Path(str(found.locate_file(one))) for one in sorted(names))


def test_its_wheel_brings_all_of_it_and_without_it_people_learn_what_to_install(
    tmp_path: Path,
) -> None:
    flow = tmp_path / "shop.ncl"
    flow.write_text(FLOW)
    clean = Environment(tmp_path)
    clean.install(ROOT)
    missing = clean.batchwright("validate", "shop.ncl")
    assert missing.returncode == 1
    assert 'shop.ncl:7:20: unknown provider "libcloud" [unknown-provider]' in missing.stderr
    assert "usually the package batchwright-libcloud" in " ".join(missing.stderr.split())
    assert "libcloud" not in clean.batchwright("providers").stdout
    assert "no cloud libcloud can be emulated" in clean.batchwright("emulate", "libcloud", "--explain").stderr

    clean.install(PLUGIN)
    clean.pip("check")
    valid = clean.batchwright("validate", "shop.ncl")
    assert (valid.returncode, valid.stderr) == (0, "")
    assert "libcloud" in clean.batchwright("providers").stdout
    assert "Vultr" in clean.batchwright("emulate", "libcloud", "--explain").stdout
    flow.write_text(FLOW.replace(', image = "debian"', ""))
    wrong = clean.batchwright("validate", "shop.ncl")
    assert "shop.ncl:8:27: missing field `image` in this libcloud server [missing-field]" in wrong.stderr
