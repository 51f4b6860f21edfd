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
NAV: dict[str, tuple[str, ...]] = {
    "Start": (
        "README.md",
        "docs/workflow-file.md",
        "docs/environments.md",
        "docs/taskservs.md",
        "docs/providers/local.md",
    ),
    "How to": (
        *("docs/plan-files.md", "docs/placement.md", "docs/conditions.md", "docs/checks.md", "docs/approvals.md"),
        *("docs/programs.md", "docs/guardrails.md", "docs/limits.md", "docs/handing-over.md", "docs/webhooks.md"),
        *(
            "docs/rehearsal.md",
            "docs/simulation.md",
            "docs/stores.md",
            "docs/service.md",
            "docs/fleet.md",
            "docs/page.md",
        ),
        *("docs/agents.md", "docs/traces.md", "docs/nushell.md", "docs/adding-a-provider.md"),
    ),
    "Reference": (
        *("docs/commands.md", "docs/errors.md", "docs/diagnostics.md", "docs/events.md", "docs/lifecycle.md"),
        *("docs/taskservs-catalogue.md", "docs/taskserv-fields.md", "docs/faults.md", "GLOSSARY.md"),
        *(
            "docs/providers/upcloud.md",
            "docs/providers/aws.md",
            "docs/providers/hetzner.md",
            "docs/providers/static.md",
        ),
        *(source for source in TOP if source.startswith("plugins/")),
    ),
    "Explanation": ("ARCHITECTURE.md", "SECURITY.md", "bench/RESULTS.md"),
    "Compared": (
        *("docs/comparisons/README.md", "docs/comparisons/terraform.md", "docs/comparisons/ansible.md"),
        *("docs/comparisons/pulumi.md", "docs/comparisons/temporal.md", "docs/comparisons/argo.md"),
    ),
    "Project": ("CONTRIBUTING.md", "CHANGELOG.md"),
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


def write_site(folder: Path) -> None:
    """All pages, and the site's configuration."""
    places = pages()
    for source, place in places.items():
        to = folder / "docs" / place
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(on_site((ROOT / source).read_text(), source, places))
    nav = [{title: [places[source] for source in sources]} for title, sources in NAV.items()]
    config = {
        "site_name": "Batchwright",
        "site_description": "Batch workflows of infrastructure operations",
        "docs_dir": "docs",
        "site_dir": "site",
        "use_directory_urls": False,  # so that the pages open from a folder
    }
    lines = ["[project]", *(f"{key} = {json.dumps(value)}" for key, value in config.items())]
    lines.append(
        "nav = [" + ", ".join(f"{{ {json.dumps(k)} = {json.dumps(v)} }}" for one in nav for k, v in one.items()) + "]"
    )
    lines += [
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
