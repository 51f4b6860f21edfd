"""What people install: built twice, opened, and used outside the checkout."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from tests.support.needs import missing
from tests.unit.dashboard.test_page_middleware import VENDORED, static_files

from batchwright import __version__

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("package")


def built(kind: str, source: Path, to: Path) -> Path:
    if VENDORED not in static_files():
        missing("the page's files are not there; scripts/web.sh fetches them")
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(to)]
    environ = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run(command, cwd=source, check=True, capture_output=True, env=environ)
    (made,) = to.glob("batchwright-*")
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`batchwright` in an environment of its own: from the wheel, with the packages it needs from the tests' own."""
    home = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    python = home / "bin/python"
    install = ["install", "--quiet", "--no-index", "--no-deps", "--disable-pip-version-check", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), *install], check=True)
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "needed.pth").write_text(
        sysconfig.get_path("purelib")
    )  # a folder named in it is searched, its own .pth are not read
    return home / "bin/batchwright"


def told(program: Path, folder: Path, *words: str) -> str:
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "NO_COLOR": "1", "COLUMNS": "120"}
    done = subprocess.run([program, *words], cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_two_builds_are_equal_and_one_of_the_source_package_too(wheel: Path, tmp_path: Path) -> None:
    first, second = (built("sdist", ROOT, tmp_path / name) for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as packed:
        packed.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    assert built("wheel", source, tmp_path / "c").read_bytes() == wheel.read_bytes()


def test_the_wheel_says_what_is_in_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        texts = {name: packed.read(name).decode() for name in names if re.search(r"METADATA|cdx\.json|\.1$", name)}
    assert len(names) == len(set(names))
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests")]
    inside = f"batchwright-{__version__}.dist-info"
    about = Parser().parsestr(texts[f"{inside}/METADATA"])
    assert about["Version"] == __version__
    assert about["Requires-Python"] == ">=3.11"
    parts = {
        one["name"]: one["version"] for one in json.loads(texts[f"{inside}/sboms/batchwright.cdx.json"])["components"]
    }
    fetched = re.findall(r"^\w+=(\w+)@([\d.]+)", (ROOT / "scripts/web.sh").read_text(), re.MULTILINE)
    assert parts == dict(fetched)
    assert texts[f"batchwright-{__version__}.data/data/share/man/man1/batchwright.1"].startswith('.TH "BATCHWRIGHT"')


def test_it_works_outside_the_checkout(program: Path, tmp_path: Path) -> None:
    version = json.loads(told(program, tmp_path, "version", "--json"))
    assert version["version"] == __version__
    assert version["commit"] == ""  # of no checkout
    assert Path(version["nushell"]).is_relative_to(program.parents[1])
    assert Path(version["nushell"]).is_file()
    assert "site" in told(program, tmp_path, "examples")
    told(program, tmp_path, "examples", "shop", "--to", "mine")
    assert (tmp_path / "mine/shop/app/shop.py").is_file()
    told(program, tmp_path, "validate", "mine/shop.ncl")
    told(program, tmp_path, "new", "provider", "my-cloud")
    assert (tmp_path / "batchwright-my-cloud/tests/test_conformance.py").is_file()
    told(program, tmp_path, "examples", "example_batch")
    run = json.loads(told(program, tmp_path, "run", "example_batch.ncl", "--sim", "time_scale=0.001", "--json"))
    assert run["status"] == "Completed"
    assert ".SS validate\n" in told(program, tmp_path, "man")


def test_it_serves_its_page(program: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "import batchwright\n"
        f"sys.path.insert(1, {str(ROOT)!r})\n"
        "from tests.unit.dashboard.test_page_middleware import asked\n"
        f"assert not Path(batchwright.__file__).is_relative_to({str(ROOT)!r})\n"
        "got = asked(Path(sys.argv[1]), '/', '/ui/static/js/main.js', '/ui/static/vendor/htm-preact.js')\n"
        "print([answer.status for answer in got])\n"
    )
    command = [program.parent / "python", "-c", code, str(tmp_path / "state")]
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[200, 200, 200]", done.stderr


def python(version: str) -> str:
    """An interpreter of this version, of the system or of pyenv."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    places = [Path(f"/usr/bin/python{version}"), *versions.glob(f"{version}.*/bin/python")]
    return str(next(filter(Path.exists, places), None) or missing(f"there is no Python {version} here"))


@pytest.mark.long
@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_another_python_with_every_extra(version: str, wheel: Path, tmp_path: Path) -> None:
    """Its packages come from the index, as a user's do."""
    home = tmp_path / "venv"
    subprocess.run([python(version), "-m", "venv", str(home)], check=True)
    install = ["install", "--quiet", "-c", str(ROOT / "constraints.txt"), f"{wheel}[all]"]
    subprocess.run([home / "bin/pip", *install], check=True)
    program = home / "bin/batchwright"
    about = json.loads(told(program, tmp_path, "version", "--json"))
    assert about["python"].startswith(f"{version}.")
    assert set(about["extras"]) == set(extras())
    told(program, tmp_path, "examples", "example_batch")
    run = json.loads(told(program, tmp_path, "run", "example_batch.ncl", "--sim", "time_scale=0.001", "--json"))
    assert run["status"] == "Completed"


def extras() -> dict[str, list[str]]:
    """The extras for users, but for the one that has them all."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {name: wanted for name, wanted in project["optional-dependencies"].items() if name not in ("all", "dev")}


def test_the_extra_all_has_all() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (everything,) = project["optional-dependencies"]["all"]
    named = set(re.findall(r"[a-z]+", everything.split("[")[1]))
    packages = {package for name in named for package in extras()[name]}
    assert [name for name, wanted in extras().items() if not set(wanted) <= packages] == []


@pytest.mark.long
def test_an_older_python_is_named(wheel: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "--python", python("3.10"), "install", "--no-deps", "--dry-run", str(wheel)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert re.search(r"requires a different Python: 3\.10\.\d+ not in '>=3\.11'", done.stderr)
