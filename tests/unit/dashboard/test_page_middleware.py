"""What the service sends to browsers, and what it goes on sending to programs."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from batchwright.app.access_tokens import Tokens
from batchwright.app.settings import Settings
from batchwright.dashboard import page_middleware
from batchwright.dashboard.page_middleware import VENDORED, Page, static_files
from batchwright.model.role import Role
from tests.support.needs import missing
from tests.support.service_in_loop import Answer, serving, workflow

ROOT = Path(__file__).parents[3]
BROWSER = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}


def has_files() -> None:
    if VENDORED not in static_files():
        missing("the page's files are not there; scripts/web.sh fetches them")


def asked(folder: Path, *paths: str, headers: dict[str, str] = BROWSER) -> list[Answer]:
    async def main() -> list[Answer]:
        async with serving(folder, page=Page) as service:
            return [await service.get(path, headers=headers, allow_redirects=False) for path in paths]

    return asyncio.run(main())


def test_browsers_get_the_page_and_programs_what_they_got_before(tmp_path: Path) -> None:
    has_files()
    home, run, nothing = asked(tmp_path, "/", "/ui/runs/abc", "/ui/static/nothing.js")
    assert [home.status, run.status, nothing.status] == [200, 200, 404]
    assert home.headers["content-type"].startswith("text/html")
    assert re.search(rb'src="./ui/static/\w+/js/main.js"', home.body)
    assert re.search(rb'src="../../ui/static/\w+/js/main.js"', run.body)  # relative, so it holds under any prefix
    front, unknown = asked(tmp_path, "/", "/nowhere", headers={"Accept": "application/json"})
    assert (front.status, front.headers["location"]) == (307, "docs")
    assert (unknown.status, unknown.headers["content-type"]) == (404, "application/problem+json")


def test_the_page_runs_only_its_own_files(tmp_path: Path) -> None:
    has_files()
    home, script = asked(tmp_path, "/", "/ui/static/js/main.js")
    policy = dict(part.strip().split(" ", 1) for part in home.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    for answer in (home, script):
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert re.findall(rb"<script(?![^>]* src=)|<style|\son\w+=|style=|https?://", home.body) == []


def test_all_of_it_lies_under_the_path_of_a_proxy_too(tmp_path: Path) -> None:
    has_files()

    async def main() -> list[Answer]:
        async with serving(tmp_path, page=Page, root="/x/y") as service:
            paths = "/x/y", "/x/y/", "/x/y/ui/runs/abc", "/x/y/health/live", "/health/live"
            return [await service.get(path, headers=BROWSER, allow_redirects=False) for path in paths]

    bare, home, run, inner, outer = asyncio.run(main())
    assert (bare.status, bare.headers["location"]) == (308, "y/")
    assert re.search(rb'src="./ui/static/\w+/js/main.js"', home.body)
    assert re.search(rb'src="../../ui/static/\w+/js/main.js"', run.body)
    assert inner.status == outer.status == 200


def test_files_are_sent_again_only_when_they_have_changed(tmp_path: Path) -> None:
    (first,) = asked(tmp_path, "/ui/static/page.css", headers={"Accept-Encoding": "identity"})
    (second,) = asked(tmp_path, "/ui/static/page.css", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status, second.status, second.body) == (200, 304, b"")
    (packed,) = asked(tmp_path, "/ui/static/page.css", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.body == first.body  # the client unpacks it
    assert int(packed.headers["content-length"]) < int(first.headers["content-length"]) / 2


def test_a_browser_is_told_every_module_of_the_screen_and_keeps_it(tmp_path: Path) -> None:
    has_files()
    (shell,) = asked(tmp_path, "/ui/runs/abc")
    told = [link.decode() for link in re.findall(rb'href="../../(ui/static/\w+/(?:js|vendor)/[^"]+)"', shell.body)]
    scripts = [name for name in told if "/js/" in name]
    assert "run.js" in {name.rpartition("/")[2] for name in scripts}
    for answer in asked(tmp_path, *(f"/{name}" for name in scripts)):
        assert answer.status == 200
        assert "immutable" in answer.headers["cache-control"]
        for kind, name in re.findall(rb"^import .*? from '(\.\.?)/([^']+)'", answer.body, re.MULTILINE):
            assert any(one.endswith(f"/{name.decode()}") for one in told), (kind, name)
    unversioned, former = asked(tmp_path, "/ui/static/js/run.js", "/ui/static/000000000000/js/run.js")
    assert (unversioned.headers["cache-control"], former.status) == ("no-cache", 404)


def test_everything_that_a_browser_loads_is_small(tmp_path: Path) -> None:
    """All screens together as they are sent, which is packed; and, unpacked, what a run needs, the largest of them."""
    has_files()
    there = static_files()
    assert sum(len(file.packed) for file in there.values()) < 150_000
    (shell,) = asked(tmp_path, "/ui/runs/abc")
    told = set(re.findall(r"ui/static/\w+/([\w./-]+)", shell.body.decode()))
    assert len(told) > 10
    assert sum(len(there[name].body) for name in told) < 150_000


def test_without_the_fetched_files_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {name: file for name, file in static_files().items() if name != VENDORED}
    monkeypatch.setattr(page_middleware, "static_files", lambda: own)
    home, health = asked(tmp_path, "/", "/health/live")
    assert home.status == 503
    assert b"scripts/web.sh" in home.body
    assert health.status == 200


def test_without_scripts_there_are_plain_tables(tmp_path: Path) -> None:
    async def main() -> tuple[Answer, Answer, Answer]:
        async with serving(tmp_path, page=Page) as service:
            run = (await service.submit(workflow("plain", 3))).json
            await service.until(run["run"], "Completed")
            names = "/ui/plain", f"/ui/plain?run={run['run']}", "/ui/plain?run=%3Cb%3E"
            answers = [await service.get(name) for name in names]
            return answers[0], answers[1], answers[2]

    runs, steps, unknown = asyncio.run(main())
    assert b"3 of 3" in runs.body
    assert steps.body.count(b"<td>succeeded</td>") == 3
    assert unknown.status == 404
    assert b"<b>" not in unknown.body


def test_plain_tables_are_for_those_who_may_look(tmp_path: Path) -> None:
    Tokens(Settings(tmp_path)).create("ops", Role.OPERATOR, 0.0, None)
    (plain,) = asked(tmp_path, "/ui/plain")
    assert b"asks for a token" in plain.body
    assert b"<table" not in plain.body
