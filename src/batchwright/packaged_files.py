"""Where the files are that come with the program and are not modules: in the package, or in the checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def example_folder() -> Path:
    """The example workflows."""
    return _packaged("examples", "workflows")


def nushell_folder() -> Path:
    """The modules of the Nushell commands; `batch.nu` is the one to use."""
    return _packaged("nushell", "core/nulib/workflows")


def _packaged(name: str, in_checkout: str) -> Path:
    installed = PACKAGE / name
    return installed if installed.is_dir() else PACKAGE.parents[1] / in_checkout
