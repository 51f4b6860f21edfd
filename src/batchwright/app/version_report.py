"""What this installation is: what every report of a fault should say."""

from __future__ import annotations

import json
import os
import platform
import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.metadata import version as version_of_package
from pathlib import Path

from msgspec import Struct

import batchwright
from batchwright.app.git_revision import GitRevision, git_revision
from batchwright.app.multi_store import STORES
from batchwright.journal import archive_file, event_codec
from batchwright.journal.postgres.address import SCHEMA_VERSION as POSTGRES_SCHEMA
from batchwright.journal.sqlite.connect import SCHEMA_VERSION
from batchwright.journal.surreal import integrity
from batchwright.model.machine_rules import SEMANTICS
from batchwright.packaged_files import nushell_folder
from batchwright.plan import plan_file, policy_data

NAME = "batchwright"
NICKEL = "py-nickel"
_EXTRA = re.compile(r"extra\s*==\s*['\"]([a-z]+)['\"]")
_NAME = re.compile(r"[A-Za-z0-9._-]+")
NOT_OFFERED = ("all", "dev")  # the first is the others together, the second is for work on the program itself


class Formats(Struct, frozen=True):
    """The versions of what is stored and exchanged; a program reads older ones, and refuses newer ones."""

    sqlite: int = SCHEMA_VERSION
    surrealdb: int = integrity.FORMAT
    postgres: int = POSTGRES_SCHEMA
    events: int = event_codec.VERSION
    semantics: int = SEMANTICS
    plan_file: int = plan_file.VERSION
    archive: int = archive_file.VERSION
    policy: int = policy_data.VERSION


class VersionReport(Struct, frozen=True):
    """`commit` is "" if it is not known. `extras` are those of which every package is there, with their versions."""

    version: str
    commit: str
    modified: bool
    python: str
    platform: str
    nickel: str
    extras: dict[str, dict[str, str]]
    stores: tuple[str, ...]
    nushell: str  # the module of the Nushell commands
    formats: Formats


def version_report() -> VersionReport:
    """The report of the program that runs."""
    try:
        installed: Distribution | None = distribution(NAME)
    except PackageNotFoundError:  # run from its files
        installed = None
    revision = _revision(installed)
    return VersionReport(
        batchwright.__version__,
        revision.commit,
        revision.clean is False,
        platform.python_version(),
        platform.platform(),
        _version(NICKEL),
        extras_of(installed.requires or []) if installed else {},
        STORES,
        str(nushell_folder() / "batch.nu"),
        Formats(),
    )


def extras_of(requirements: list[str]) -> dict[str, dict[str, str]]:
    """The extras of these requirements whose packages are all installed, each with its packages' versions."""
    packages: dict[str, set[str]] = {}
    for requirement in requirements:
        name, found = _NAME.match(requirement), _EXTRA.search(requirement)
        if name and found and found[1] not in NOT_OFFERED:
            packages.setdefault(found[1], set()).add(name[0])
    versions = {extra: {name: _version(name) for name in sorted(names)} for extra, names in sorted(packages.items())}
    return {extra: names for extra, names in versions.items() if all(names.values())}


def _version(package: str) -> str:
    try:
        return version_of_package(package)
    except PackageNotFoundError:
        return ""


def _revision(installed: Distribution | None) -> GitRevision:
    """The commit of the checkout that is run, or the one that an installer recorded."""
    package = Path(batchwright.__file__).resolve()
    root = package.parents[2]
    if (root / ".git").exists() and (root / "pyproject.toml").is_file():
        return git_revision([package], os.environ)
    recorded = installed.read_text("direct_url.json") if installed else None
    commit = json.loads(recorded).get("vcs_info", {}).get("commit_id", "") if recorded else ""
    return GitRevision(str(commit))
