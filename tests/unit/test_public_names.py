"""What a plug-in imports from `batchwright` itself, and that having it there costs the commands nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import batchwright

PROJECT = Path(__file__).parents[2]


def test_every_public_name_is_what_the_type_checker_takes_it_for() -> None:
    tree = ast.parse(Path(batchwright.__file__).read_text())
    typed = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(typed) == batchwright.__all__
    for name, module in typed.items():
        assert getattr(batchwright, name) is getattr(sys.modules[str(module)], name)


def test_another_name_is_refused_as_any_module_does() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        batchwright.no_such_name  # noqa: B018


def test_the_package_alone_loads_nothing_else() -> None:
    code = "import batchwright, sys; print([name for name in sys.modules if name.startswith('batchwright.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_version_stands_once() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["hatch"]["version"]["path"] == "src/batchwright/__init__.py"
    assert version("batchwright") == batchwright.__version__
