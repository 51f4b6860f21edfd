"""The documentation site: its pages, its links, and that it asks nobody else for anything."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from scripts.docs_site import NAV, ROOT, on_site, pages, write_site


def test_links_hold_on_the_site_and_lose_what_is_not_on_it() -> None:
    places = {"docs/a.md": "a.md", "README.md": "index.md", "docs/p/b.md": "p/b.md"}
    rest = "[w](https://a.example), [v](#here)\n```\n[x](p/b.md)\n```\n"
    text = f"[x](../README.md#top) [y](p/b.md), [z](../src/z.py), {rest}"
    wanted = f"[x](index.md#top) [y](p/b.md), z, {rest}"
    assert on_site(text, "docs/a.md", places) == wanted
    assert on_site("[x](docs/p/b.md)", "README.md", places) == "[x](p/b.md)"


def test_every_page_is_in_the_menu_and_every_link_leads_to_a_page(tmp_path: Path) -> None:
    write_site(tmp_path)
    listed = [page for sections in NAV.values() for pages in sections.values() for page in pages]
    assert len(listed) == len(set(listed))
    assert {source for source in pages() if "/decisions/" not in source} == set(listed)
    dead = []
    for page in (tmp_path / "docs").rglob("*.md"):
        prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)\s:#]+)(?:#[^)]*)?\)", prose):
            dead += [] if (page.parent / target).is_file() else [(page.name, target)]
    assert dead == []


@pytest.mark.long
def test_the_site_asks_nobody_else_for_anything() -> None:
    subprocess.run(["scripts/docs_site.sh", ".venv"], cwd=ROOT, check=True)
    made = list((ROOT / "build/site/site").rglob("*.html"))
    assert len(made) > 40
    for page in made:
        asked = re.findall(r"<(?:script|img|iframe|source)[^>]+src=\"?(https?:[^\" >]+)", page.read_text())
        asked += re.findall(
            r"<link[^>]+rel=\"?(?:stylesheet|preconnect|icon)[^>]+href=\"?(https?:[^\" >]+)", page.read_text()
        )
        assert asked == [], page
