"""The page in a real browser: every screen for everybody, by keyboard, in two tabs."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.browser import browser
from tests.support.command_line import environment, run_in_process
from tests.support.needs import missing
from tests.support.page_stage import Stage, asking, ended, simulated_stage
from tests.support.service_in_loop import workflow
from tests.support.service_process import service_process

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("page")]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with simulated_stage(tmp_path_factory.mktemp("page")) as made:
        yield made


def accessible(tab: Any) -> list[str]:
    """What axe finds on a page."""
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ModuleNotFoundError:
        missing("axe-playwright-python is not installed")
    return [f"{one['id']} {one['nodes'][0]['html'][:120]}" for one in Axe().run(tab).response["violations"]]


def drawn(tab: Any) -> None:
    """Wait until a screen has all its answers."""
    tab.locator("main, table").first.wait_for()
    while (asking := tab.get_by_text("Asking the service")).count():  # its time-out ends this
        asking.first.wait_for(state="detached")


def test_every_screen_is_for_everybody(stage: Stage) -> None:
    run, open_ = stage.submit(workflow("axe", 12), "--sim", "fail=axe-0003"), stage.submit(asking("asks"))
    screens = [
        *("/", "/ui/plan", "/ui/approvals", "/ui/servers", "/ui/service", "/ui/environments/axe?simulated=true"),
        *("/ui/service?part=lanes", "/ui/service?part=access", "/ui/taskservs", "/ui/taskservs?name=nginx"),
        *(
            "/ui/drift?environment=simulated:axe",
            "/ui/destroy?environment=simulated:axe",
            f"/ui/runs/{run}/checks",
            "/ui/rehearsal",
        ),
        *(f"/ui/runs/{run}", f"/ui/runs/{run}?ops=list&only=failed", f"/ui/runs/{run}/steps/web/axe-0001"),
        *(f"/ui/runs/{run}/rollback", f"/ui/runs/{open_}", "/ui/plain"),
    ]
    found: list[str] = []
    for scheme in ("light", "dark"):
        for width in (360, 1600):
            options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
            with browser(stage.url, **options) as window:
                ended(window, run, "Failed").close()
                for screen in screens:
                    tab = window.page(screen)
                    drawn(tab)
                    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), (screen, width)
                    found += [f"{screen} {width} {scheme}: {one}" for one in accessible(tab)]
                    tab.close()
    assert found == []


def test_a_run_is_found_and_read_by_keyboard_alone(stage: Stage) -> None:
    run = stage.submit(workflow("keys", 6), "--sim", "fail=keys-0004")
    with browser(stage.url) as window:
        ended(window, run, "Failed").close()
        tab = window.page("/")
        tab.get_by_role("link", name=run).wait_for()
        tab.keyboard.press("Control+k")
        tab.keyboard.type(run)
        tab.locator(".pal a", has_text=run).wait_for()
        tab.keyboard.press("Enter")
        tab.locator(".steps .vr .st").first.wait_for()
        tab.keyboard.press("f")
        tab.locator(".vr.sel", has_text="keys-0004").wait_for()
        tab.locator(".say", has_text="failed").wait_for()
        tab.keyboard.press("l")
        tab.get_by_label("Find in this log").wait_for()
        tab.keyboard.press("Enter")
        tab.get_by_role("heading", name="web/keys-0004").wait_for()
        tab.go_back()
        tab.get_by_label("Find in steps").wait_for()
        tab.keyboard.press("/")
        tab.keyboard.type("keys-0001")
        tab.get_by_text("1 of 6").wait_for()
        tab.keyboard.press("Escape")  # out of the field
        tab.keyboard.press("?")
        tab.get_by_role("dialog", name="Keys").wait_for()
        tab.keyboard.press("Escape")
        tab.keyboard.press("t")
        assert "t=local" in tab.url


def test_the_drawings_are_opened_by_keyboard_alone(stage: Stage) -> None:
    run = stage.submit(workflow("draw", 9), "--sim", "fail=draw-0004")
    with browser(stage.url) as window:
        tab = ended(window, run, "Failed")
        tab.keyboard.press("1")
        tab.keyboard.press("ArrowRight")  # the first operation
        tab.get_by_role("button", name="only web").wait_for()
        tab.keyboard.press("Enter")  # a cell for each of its steps
        tab.get_by_role("img", name="9 steps of web").wait_for()
        for _ in range(4):
            tab.keyboard.press("ArrowRight")
        tab.keyboard.press("Enter")
        tab.locator(".vr.sel", has_text="draw-0004").wait_for()
        tab.keyboard.press("Escape")
        tab.get_by_role("img", name="Graph of 1 operation").wait_for()
        tab.keyboard.press("m")
        tab.get_by_role("region", name="Timeline").wait_for(state="hidden")
        tab.keyboard.press("Escape")
        tab.get_by_role("region", name="Timeline").wait_for()
        tab.keyboard.press("g")
        tab.get_by_role("button", name="failed", expanded=True).click()
        tab.get_by_role("button", name="failed", expanded=False).wait_for()
        tab.keyboard.press("<")
        tab.get_by_text("You look at event").wait_for()
        assert tab.get_by_role("link", name="Roll back").count() == 0


def test_the_moment_that_an_address_names_is_shown_and_nothing_can_be_done_from_it(stage: Stage) -> None:
    run = stage.submit(workflow("then", 4))
    with browser(stage.url) as window:
        ended(window, run).close()
        tab = window.page(f"/ui/runs/{run}?at=3&sel=web%2Fthen-0001")
        tab.get_by_text("You look at event 3 of").wait_for()
        assert tab.locator("#sentence").inner_text().startswith("0 of 4")
        assert tab.get_by_role("link", name="Roll back").count() == 0
        tab.keyboard.press(".")
        tab.get_by_text("You look at event 4 of").wait_for()
        tab.keyboard.press("n")
        tab.get_by_text("4 of 4 steps done").wait_for()
        tab.get_by_role("link", name="Roll back").wait_for()


def test_the_line_of_a_log_that_an_address_names_is_shown_whole(stage: Stage) -> None:
    run = stage.submit(workflow("said", 2), "--sim", "fail=said-0002")
    with browser(stage.url, viewport={"width": 390, "height": 844}) as window:
        ended(window, run, "Failed").close()
        tab = window.page(f"/ui/runs/{run}?sel=web/said-0002&tab=log&p=d&line=2")
        line = tab.get_by_label("Line 2")
        assert "failed after 1 attempt" in line.inner_text()
        tab.get_by_label("Find in this log").fill("start")
        tab.locator(".log .vr").nth(0).locator("mark").wait_for()
        tab.get_by_label("Find in this log").press("Enter")
        assert tab.get_by_label("Line 1").inner_text() == "started"
        assert "line=1" in tab.url


def test_a_question_is_answered_and_a_run_rolled_back_after_its_preview(stage: Stage) -> None:
    run = stage.submit(asking("yes"))
    with browser(stage.url) as window:
        tab = window.page("/ui/approvals")
        box = tab.locator("li.asking", has_text=run)
        box.get_by_placeholder("Comment").fill("go on")
        box.get_by_role("button", name="Approve").click()
        box.wait_for(state="detached")
        tab = ended(window, run)
        tab.get_by_role("link", name="Roll back").click()
        button = tab.get_by_role("button", name="Destroy 3 servers")
        assert button.is_disabled()
        tab.get_by_label("Type yes").fill("yes")
        button.click()
        tab.locator(".st.big", has_text="RolledBack").wait_for()


def test_an_environment_is_looked_at_for_drift_and_destroyed_after_its_preview(stage: Stage) -> None:
    run = stage.submit(workflow("gone", 3))
    with browser(stage.url) as window:
        ended(window, run).close()
        tab = window.page("/ui/environments/gone?simulated=true")
        tab.get_by_role("link", name="Drift").click()
        tab.get_by_text("not looked at yet").wait_for()
        tab.get_by_role("button", name="Look now").click()
        tab.get_by_text("Everything is as its runs left it.").wait_for()
        removed = run_in_process(
            ["servers", "destroy", "gone-0001", "--simulate", "--yes"],
            environment(stage.home, BATCHWRIGHT_URL=stage.url), stage.home,
        )  # fmt: skip
        assert removed.returncode == 0, removed.stderr
        tab.get_by_role("button", name="Look again").click()
        tab.get_by_text("1 thing differs.").wait_for()
        tab.get_by_text("it was destroyed by someone else").wait_for()
        tab.get_by_role("link", name="gone", exact=True).click()
        tab.get_by_role("link", name="Destroy").click()
        tab.get_by_text("batchwright destroy simulated:gone", exact=True).wait_for()
        tab.get_by_label("Type gone").fill("gone")
        tab.get_by_role("button", name="Destroy").click()
        tab.wait_for_url("**/ui/runs/*")
        tab.locator(".st.big", has_text="Completed").wait_for()
        tab.get_by_role("link", name="gone", exact=True).click()
        tab.get_by_text("It has no servers.").wait_for()
        assert tab.get_by_role("link", name="Destroy").count() == 0


def test_a_run_is_cancelled_by_force_and_the_audit_trail_has_it(stage: Stage) -> None:
    run = stage.submit(workflow("forced", 30, parallel_limit=2), "--sim", "answer_seconds=60")
    with browser(stage.url) as window:
        tab = ended(window, run, "Running")
        tab.locator(".cmds summary").click()
        tab.get_by_text(f"batchwright cancel {run} --force").wait_for()
        tab.keyboard.press("Escape")
        tab.get_by_text(f"batchwright cancel {run} --force").wait_for(state="hidden")
        tab.get_by_role("button", name="Cancel…").click()
        tab.get_by_label("By force").check()
        tab.get_by_text(f"batchwright cancel {run} --force").last.wait_for()
        tab.get_by_role("button", name="Cancel by force").click()
        tab.locator(".st.big", has_text="Cancelled").wait_for()
        tab.get_by_role("button", name="Resume…").click()
        tab.get_by_label("simulated is gone for good").check()
        tab.get_by_text(f"batchwright resume {run} --forget simulated").wait_for()
        tab.get_by_role("button", name="Not now").click()
        tab.get_by_role("link", name="Service", exact=True).click()
        tab.get_by_role("link", name="Tokens and audit").click()
        tab.get_by_label("Find in the audit trail").fill(run)
        tab.get_by_role("row").filter(has_text="force=true").wait_for()
        assert tab.get_by_role("row").filter(has_text=run).count() == 2  # it was submitted, too


def test_a_run_is_resumed_with_answers_for_its_commands_in_doubt(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    command = {"id": "migrate", "type": "command", "run": ["sh", "-c", f"touch {begun}; sleep 600"], "outputs": ["KEY"]}
    use = {"id": "use", "type": "command", "run": ["echo", "${outputs.migrate.KEY}"], "dependencies": ["migrate"]}
    inner = {"name": "answers", "version": "1", "operations": [command, use]}
    (tmp_path / "answers.json").write_text(json.dumps({"batch_workflow": inner}))
    with service_process(tmp_path, "--allow-commands") as (_, first):
        done = run_in_process(
            ["submit", "answers.json", "--json", "--state-dir", str(tmp_path / "state")],
            environment(tmp_path),
            tmp_path,
        )
        assert done.returncode == 0, done.stderr
        run = json.loads(done.stdout)["run"]
        for _ in range(3_000):
            if begun.exists():
                break
            time.sleep(0.01)
        first.send_signal(signal.SIGKILL)
        first.wait()
    with service_process(tmp_path, "--allow-commands") as (url, _), browser(url) as window:
        tab = ended(window, run, "Failed")
        tab.get_by_role("button", name="Resume…").click()
        assert tab.get_by_role("button", name="Resume", exact=True).is_disabled()
        tab.get_by_label("Mark it as done").check()
        tab.get_by_label("What it gave as KEY").fill("it's done")
        line = f"batchwright resume {run} --skip migrate/run --output 'migrate.KEY=it'\\''s done'"
        tab.get_by_role("dialog").get_by_text(line, exact=True).wait_for()
        tab.get_by_role("button", name="Resume", exact=True).click()
        tab.locator(".st.big", has_text="Completed").wait_for()
        tab.goto(f"{url}/ui/runs/{run}/steps/use/run")
        tab.get_by_text("it's done").first.wait_for()


def test_the_report_of_a_rehearsal_is_shown(stage: Stage, tmp_path: Path) -> None:
    file, report = tmp_path / "dress.json", tmp_path / "report.json"
    file.write_text(json.dumps(workflow("dress", 2)))
    words = ["rehearse", str(file), "--json", "--faults", "crash,capacity", "--seconds", "2"]
    rehearsed = run_in_process(words, environment(stage.home), tmp_path)
    assert rehearsed.stdout.startswith("{"), rehearsed.stderr
    report.write_text(rehearsed.stdout)
    found = json.loads(rehearsed.stdout)
    with browser(stage.url) as window:
        tab = window.page("/ui/rehearsal")
        tab.get_by_label("The report, as JSON").fill('{"findings": []}')
        tab.get_by_role("alert").filter(has_text="This is not the report of a rehearsal").wait_for()
        shapeless = {**found, "self_check": {**found["self_check"], "meaning": 5}}
        tab.get_by_label("The report, as JSON").fill(json.dumps(shapeless))
        tab.get_by_role("alert").filter(has_text="or that of another version").wait_for()
        hostile = {**found, "file": "a; touch b", "headline": "<img src=x onerror=alert(1)>"}
        tab.get_by_label("The report, as JSON").fill(json.dumps(hostile))
        tab.get_by_text("batchwright rehearse 'a; touch b' --seed").first.wait_for()
        assert tab.locator("main img").count() == 0
        tab.get_by_label("Another report").set_input_files(report)
        tab.get_by_role("heading", name="Rehearsal of dress").wait_for()
        tab.get_by_text(found["headline"], exact=True).wait_for()
        assert tab.locator("details.fi").count() == len(found["findings"])
        tab.get_by_role("row").filter(has_text="a zone has no room").get_by_role("img").first.wait_for()
        assert accessible(tab) == []


def test_a_workflow_is_rehearsed_from_the_page(stage: Stage) -> None:
    with browser(stage.url) as window:
        tab = window.page("/ui/plan")
        tab.get_by_label("Language").select_option("JSON")
        tab.get_by_label("The workflow file").fill(json.dumps(workflow("dress", 1)))
        tab.get_by_role("button", name="Rehearse it").click()
        tab.get_by_role("heading", name="Rehearsing dress").wait_for()
        tab.get_by_role("button", name="Cancel").wait_for()
        assert accessible(tab) == []
        tab.get_by_role("heading", name="Rehearsal of dress").wait_for(timeout=120_000)
        tab.get_by_text("It can be believed:").wait_for()
        tab.locator("details.fi").first.wait_for()


def test_tabs_of_one_browser_share_the_stream_of_a_run(stage: Stage) -> None:
    run = stage.submit(asking("tabs"))
    with browser(stage.url) as window:
        streams: list[str] = []
        window.context.on("request", lambda asked: streams.append(asked.url) if "/progress" in asked.url else None)
        first, second = (ended(window, run, "asks") for _ in range(2))
        first.get_by_role("button", name="Approve").click()
        for tab in (first, second):
            tab.locator(".st.big", has_text="Completed").wait_for()
        assert len(streams) == 1
