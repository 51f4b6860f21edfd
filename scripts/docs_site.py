"""Puts the pages of the documentation site into a folder: python scripts/docs_site.py FOLDER [--build ZENSICAL]

The pages are those of the repository, with links that hold on the site. A link to a file that is no page becomes plain
text: a site that is read offline has no repository beside it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).parents[1]
TOP = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "explanation/architecture.md",
    "SECURITY.md": "explanation/security.md",
    "GLOSSARY.md": "reference/glossary.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "bench/RESULTS.md": "explanation/measurements.md",
    **{str(page.relative_to(ROOT)): f"providers/{page.parent.name}.md" for page in ROOT.glob("plugins/*/README.md")},
}
NAV: dict[str, dict[str, tuple[str, ...]]] = {  # tab -> section ("" for none) -> pages; one a line, as many add to it
    "Start": {
        "": (
            "README.md",
            "docs/tutorial.md",
        ),
    },
    "How to": {
        "Write a workflow": (
            "docs/workflow-file.md",
            "docs/conditions.md",
            "docs/checks.md",
            "docs/programs.md",
            "docs/placement.md",
            "docs/taskservs.md",
        ),
        "Change what is there": (
            "docs/environments.md",
            "docs/plan-files.md",
            "docs/guardrails.md",
            "docs/limits.md",
        ),
        "Try it first": (
            "docs/simulation.md",
            "docs/rehearsal.md",
        ),
        "Work as a team": (
            "docs/approvals.md",
            "docs/handing-over.md",
            "docs/webhooks.md",
            "docs/agents.md",
        ),
        "Serve": (
            "docs/service.md",
            "docs/page.md",
            "docs/nushell.md",
            "docs/stores.md",
            "docs/running-a-fleet.md",
            "docs/fleet.md",
            "docs/places.md",
            "docs/reverse-proxies.md",
            "docs/traces.md",
            "docs/upgrades.md",
        ),
        "Extend": ("docs/adding-a-provider.md",),
    },
    "Reference": {
        "": (
            "docs/commands.md",
            "docs/rest.md",
            "docs/errors.md",
            "docs/diagnostics.md",
            "docs/events.md",
            "docs/lifecycle.md",
            "docs/faults.md",
            "GLOSSARY.md",
        ),
        "Task services": (
            "docs/taskservs-catalogue.md",
            "docs/taskserv-fields.md",
        ),
        "Providers": (
            "docs/providers/local.md",
            "docs/providers/static.md",
            "docs/providers/upcloud.md",
            "docs/providers/aws.md",
            "docs/providers/hetzner.md",
            *(source for source in TOP if source.startswith("plugins/")),
        ),
    },
    "Explanation": {
        "": (
            "docs/explanation/crash-protocol.md",
            "docs/explanation/two-phase-commit.md",
            "docs/explanation/provider-promises.md",
            "ARCHITECTURE.md",
            "SECURITY.md",
            "bench/RESULTS.md",
        ),
    },
    "Compared": {
        "": (
            "docs/comparisons/README.md",
            "docs/comparisons/terraform.md",
            "docs/comparisons/ansible.md",
            "docs/comparisons/pulumi.md",
            "docs/comparisons/temporal.md",
            "docs/comparisons/argo.md",
        ),
    },
    "Project": {
        "": (
            "CONTRIBUTING.md",
            "CHANGELOG.md",
        ),
    },
}
_LINK = re.compile(r"(?<!!)\[([^\]\n]+)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)


def pages() -> dict[str, str]:
    """Each page's path in the repository, and its path on the site."""
    found = {str(path.relative_to(ROOT)): str(path.relative_to(ROOT / "docs")) for path in ROOT.glob("docs/**/*.md")}
    return {**found, **TOP}


def on_site(text: str, source: str, places: Mapping[str, str]) -> str:
    """A page as the site has it. `places` are all pages."""

    def link(found: re.Match[str]) -> str:
        words, target = found[1], found[2]
        if re.match(r"[a-z]+:|#", target):
            return found[0]
        path, _, part = target.partition("#")
        meant = os.path.normpath(PurePosixPath(source).parent / path)
        if meant not in places:
            return words
        here = PurePosixPath(places[source]).parent
        return f"[{words}]({os.path.relpath(places[meant], here)}{'#' + part if part else ''})"

    parts = _FENCE.split(text)
    return "".join(part if part.startswith("```") else _LINK.sub(link, part) for part in parts)


def _entries(sections: Mapping[str, tuple[str, ...]], places: Mapping[str, str]) -> list[Any]:
    """A tab: the pages without a section, then each section with its own."""
    found: list[Any] = [places[source] for source in sections.get("", ())]
    return found + [{title: [places[page] for page in pages]} for title, pages in sections.items() if title]


def _toml(value: Any) -> str:
    """Lists, inline tables with one key, and texts."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {_toml(one)}" for name, one in value.items()) + " }"
    return json.dumps(value)


def write_site(folder: Path) -> None:
    """All pages, and the site's configuration."""
    places = pages()
    for source, place in places.items():
        to = folder / "docs" / place
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(on_site((ROOT / source).read_text(), source, places))
    config = {
        "site_name": "Batchwright",
        "site_description": "Batch workflows of infrastructure operations",
        "docs_dir": "docs",
        "site_dir": "site",
        "use_directory_urls": False,  # so that the pages open from a folder
    }
    lines = ["[project]", *(f"{key} = {json.dumps(value)}" for key, value in config.items())]
    lines.append(f"nav = {_toml([{tab: _entries(sections, places)} for tab, sections in NAV.items()])}")
    lines += [
        "[project.plugins.offline]",  # so that search works from a folder, too
        "enabled = true",
        "[project.extra]",
        'polyfills = ["assets/iframe-worker.js"]',  # else search asks a server elsewhere for it
        "[project.theme]",
        "font = false",
        'features = ["navigation.tabs", "search.highlight", "content.code.copy"]',
    ]
    (folder / "zensical.toml").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    write_site(target)
    if sys.argv[2:3] == ["--build"]:
        subprocess.run([sys.argv[3], "build", "--clean"], cwd=target, check=True)
