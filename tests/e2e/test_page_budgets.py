"""The page under a path, behind a proxy, without scripts, on small and large screens, with very many steps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.support.browser import browser
from tests.support.page_stage import SIMULATED, Stage, asking, ended, simulated_stage
from tests.support.proxy import stripping_proxy
from tests.support.service_in_loop import workflow
from tests.support.service_process import service_process

from batchwright.app.access_tokens import Tokens
from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from batchwright.model.role import Role

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("page")]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with simulated_stage(tmp_path_factory.mktemp("page")) as made:
        yield made


def test_every_screen_fits_a_small_phone_and_a_wall(stage: Stage) -> None:
    run, open_ = stage.submit(workflow("fit", 12), "--sim", "fail=fit-0003"), stage.submit(asking("fits"))
    screens = [
        *("/", "/ui/plan", "/ui/approvals", "/ui/servers", "/ui/service", "/ui/environments/fit?simulated=true"),
        *(f"/ui/runs/{run}?p={pane}" for pane in "gtsd"),
        *(f"/ui/runs/{run}/steps/web/fit-0001", f"/ui/runs/{run}/rollback", f"/ui/runs/{open_}", "/ui/plain"),
    ]
    found: list[str] = []
    for width, colours in ((320, "none"), (3840, "none"), (1600, "active")):
        options = {"viewport": {"width": width, "height": 720}, "forced_colors": colours, "reduced_motion": "reduce"}
        with browser(stage.url, **options) as window:
            ended(window, run, "Failed").close()
            for screen in screens:
                tab = window.page(screen)
                tab.get_by_text("Asking the service…").first.wait_for(state="detached")
                tab.locator("main").wait_for()
                if not tab.evaluate("document.documentElement.scrollWidth <= innerWidth"):
                    found.append(f"{screen} at {width} scrolls sideways")
                found += [f"{screen} at {width}: {control} is low" for control in tab.evaluate(LOW)]
                tab.close()
    assert found == []


LOW = """[...document.querySelectorAll('button, select, summary, input')]
    .filter((one) => !['checkbox', 'radio', 'file'].includes(one.type))
    .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 23.9)
    .map((one) => one.outerHTML.slice(0, 100))"""


def test_it_works_under_a_path(tmp_path: Path) -> None:
    with service_process(tmp_path, *SIMULATED, "--root-path", "/ops/batch") as (url, _):
        run = Stage(tmp_path, url).submit(workflow("deep", 2))
        with browser(url) as window:
            tab = ended(window, f"../../ops/batch/ui/runs/{run}")
            tab.get_by_role("link", name="Servers").click()
            tab.get_by_text("deep-0001").wait_for()
            assert tab.url.startswith(f"{url}/ops/batch/ui/servers")


def test_it_works_behind_a_proxy_that_takes_a_path_off(tmp_path: Path) -> None:
    tokens, now = Tokens(Settings(tmp_path / "state")), SystemClock().now()
    own, secret = (tokens.create(name, Role.OPERATOR, now, None)[1] for name in ("ops", "lead"))
    with service_process(tmp_path, *SIMULATED) as (url, _), stripping_proxy("/ops/batch", url) as address:
        run = Stage(tmp_path, url, BATCHWRIGHT_TOKEN=own).submit(asking("far"))
        with browser(address) as window:
            window.expected += ("status of 401",)
            tab = window.page(f"/ui/runs/{run}")
            tab.get_by_label("Or paste a token").fill(secret)
            tab.get_by_role("button", name="Sign in").click()
            tab.get_by_role("button", name="Approve").click()
            tab.locator(".st.big", has_text="Completed").wait_for()  # as its stream says
            tab.get_by_role("link", name="Servers").click()
            tab.get_by_text("far-0001").wait_for()
            assert tab.url.startswith(f"{address}/ui/servers")


def test_without_scripts_a_browser_is_led_to_the_tables(stage: Stage) -> None:
    run = stage.submit(workflow("bare", 3))
    with browser(stage.url) as scripted:
        ended(scripted, run)
    with browser(stage.url, java_script_enabled=False) as window:
        tab = window.page("/")
        tab.wait_for_url("**/ui/plain")
        tab.get_by_role("link", name=run).click()
        assert tab.get_by_role("cell", name="succeeded").count() == 3


def test_ten_thousand_steps_are_few_nodes_and_few_trips(stage: Stage) -> None:
    definition = workflow("many", 5_000, parallel_limit=500)
    inner = definition["batch_workflow"]
    install = {"id": "install", "type": "taskserv_batch", "provider": "simulated", "dependencies": ["web"]}
    inner["operations"].append({**install, "taskservs": ["containerd"]})
    run = stage.submit(definition)
    with browser(stage.url) as window:
        tab = window.page(f"/ui/runs/{run}")
        tab.locator(".steps .vr .st").first.wait_for()
        tab.get_by_text("10,000 steps").first.wait_for()
        assert tab.evaluate(TRIPS) <= 4  # the document, what asks first, the run beside all other files, the steps
        for query in ("", "?order=operation", "?p=g&open=web&op=web", "?tab=events", "?ops=list"):
            tab.goto(f"{stage.url}/ui/runs/{run}{query}")
            tab.locator(".steps .vr .st").first.wait_for()
            assert tab.evaluate("document.querySelectorAll('*').length") < 2_000, query
        tab.get_by_label("Find in steps").fill("many-4999/")
        tab.get_by_text("1 of 10,000").wait_for()
        ended(window, run)
        for screen in (f"runs/{run}/rollback", "servers", "environments/many?simulated=true", "plan"):
            tab.goto(f"{stage.url}/ui/{screen}")
            if screen == "plan":
                tab.get_by_label("Language").select_option("JSON")
                tab.get_by_label("The workflow file").fill(json.dumps(definition, indent=1))
                tab.get_by_role("button", name="Plan it").click()
            tab.get_by_text("more of").first.wait_for()
            assert tab.evaluate("document.querySelectorAll('*').length") < 2_000, screen


def test_a_plan_of_many_operations_is_few_nodes_too(stage: Stage) -> None:
    definition = workflow("wide", 1)
    more = [{"id": f"run-{n:03}", "type": "command", "run": ["true"]} for n in range(400)]
    definition["batch_workflow"]["operations"] += more
    run = stage.submit(definition)
    with browser(stage.url) as window:
        for query in ("?ops=list", "?ops=all&p=g", "?order=operation", "?p=t&top=t"):
            tab = window.page(f"/ui/runs/{run}{query}")
            tab.locator(".steps .vr .st").first.wait_for()
            assert tab.evaluate("document.querySelectorAll('*').length") < 2_000, query
            if query == "?ops=list":
                tab.get_by_label("List of operations").get_by_text("run-000").wait_for()
            tab.close()


# How many answers were waited for one after the other, the document among them, until the steps were there.
TRIPS = """(() => {
  const all = performance.getEntriesByType('resource').filter((one) => !one.name.includes('/icons/'));
  const asked = all.sort((a, b) => a.startTime - b.startTime), depth = [];
  const steps = asked.findIndex((one) => one.name.includes('/steps?'));
  for (const one of asked.slice(0, steps + 1)) {
    depth.push(1 + Math.max(1, ...depth.filter((_, i) => asked[i].responseEnd <= one.startTime)));
  }
  return depth[steps];
})()"""


def test_a_hundred_thousand_events_take_no_more_memory_than_ten_thousand(stage: Stage) -> None:
    run = stage.submit(asking("long"))
    sent, most = 0, 10_000
    held: list[Any] = []

    def event(seq: int) -> dict[str, Any]:
        return {
            "seq": seq,
            "at": 1.8e9 + seq / 10,
            "type": "step_output",
            "line": f"web/long-{seq:06d} said: {seq * 'x':.60}",
        }

    def stream(route: Any) -> None:
        nonlocal sent
        if sent == most:
            held.append(route)  # it has no answer yet
            return
        sent += 10_000
        frames = (
            f"id: {seq}\nevent: event\ndata: {json.dumps(event(seq))}\n\n" for seq in range(sent - 9_999, sent + 1)
        )
        route.fulfill(content_type="text/event-stream", body="retry: 50\n\n" + "".join(frames))

    def events(route: Any) -> None:
        after = int(parse_qs(urlsplit(route.request.url).query)["after"][0])
        told = [event(seq) for seq in range(after + 1, min(sent, after + 500) + 1)]
        route.fulfill(json={"items": told, "next_after": told[-1]["seq"] if told and told[-1]["seq"] < sent else None})

    with browser(stage.url) as window:
        window.context.route("**/progress", stream)
        window.context.route("**/events?*", events)
        tab = window.page(f"/ui/runs/{run}?tab=events")
        tools = window.context.new_cdp_session(tab)

        def heap(seq: int) -> int:
            tab.locator(f"[data-seq='{seq}']").wait_for()
            tools.send("HeapProfiler.collectGarbage")
            used: int = tools.send("Runtime.getHeapUsage")["usedSize"]
            return used

        early = heap(10_000)
        most = 100_000
        stream(held.pop())
        late = heap(100_000)
        assert late < 1.25 * early + 500_000
        tab.locator(".log").last.evaluate("(box) => box.scrollTo(0, 0)")
        tab.locator("[data-seq='1']", has_text="web/long-000001").wait_for()  # what was forgotten is asked for again
