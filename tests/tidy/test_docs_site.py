"""The documentation site: its pages, its links, and that it asks nobody else for anything."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from scripts.docs_site import NAV, ROOT, on_site, pages, write_site

from tests.support.browser import browser


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


@pytest.fixture(scope="module")
def site() -> Path:
    subprocess.run(["scripts/docs_site.sh", ".venv"], cwd=ROOT, check=True)
    return ROOT / "build/site/site"


@pytest.mark.long
def test_the_site_asks_nobody_else_for_anything_and_its_links_lead_somewhere(site: Path) -> None:
    made = {page: page.read_text() for page in site.rglob("*.html") if page.name != "404.html"}
    assert len(made) > 40
    places = {page: set(re.findall(r"\sid=\"?([^\" >]+)", text)) for page, text in made.items()}
    dead = []
    for page, text in made.items():
        asked = re.findall(r"<(?:script|img|iframe|source)[^>]+src=\"?(https?:[^\" >]+)", text)
        asked += re.findall(r"<link[^>]+rel=\"?(?:stylesheet|preconnect|icon)[^>]+href=\"?(https?:[^\" >]+)", text)
        assert asked == [], page
        for path, part in re.findall(r"<a[^>]+href=\"?([^\"# >:]*)(?:#([^\" >]*))?[\" >]", text):
            target = (page.parent / path).resolve() if path else page
            whole = target in places and (not part or part in places[target])
            dead += [] if whole or target.name in ("", "site") else [(page.name, path, part)]
    assert dead == []


@pytest.mark.long
def test_search_works_in_pages_that_are_opened_from_a_folder(site: Path) -> None:
    with browser(f"file://{site}") as window:
        page = window.page("/index.html")
        page.wait_for_load_state("networkidle")
        page.keyboard.press("/")
        page.get_by_role("combobox", name="Search").fill("residue of a rollback")
        page.get_by_role("option").first.click()
        page.wait_for_url("**h=residue**")
        assert "residue" in page.locator("article").inner_text()
