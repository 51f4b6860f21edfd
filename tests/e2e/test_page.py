"""The page in a real browser, as people use it."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from tests.support.browser import browser
from tests.support.command_line import environment, run_in_process
from tests.support.service_in_loop import workflow
from tests.support.service_process import service_process

from batchwright.app.access_tokens import Tokens
from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from batchwright.model.role import Role

pytestmark = pytest.mark.xdist_group("page")
SLOW = ("--simulate", "--sim", "answer_seconds=0.1", "--sim", "boot_seconds=0.2")


def test_a_run_is_watched_from_its_file_on_and_a_killed_service_leaves_no_hole(tmp_path: Path) -> None:
    with service_process(tmp_path, *SLOW) as (url, first), browser(url) as window:
        seen: list[int] = []
        window.context.on("response", lambda answer: "/events?" in answer.url and seen.extend(numbers(answer)))
        window.expected += ("status of 422",)  # the mistakes in the file
        tab = window.page("/ui/plan")
        tab.get_by_label("Language").select_option("JSON")
        tab.get_by_label("The workflow file").fill('{"batch_workflow": {"name": "shop"}}')
        tab.locator(".diags li", has_text="version").wait_for()
        tab.get_by_label("The workflow file").fill(json.dumps(workflow("shop", 24, parallel_limit=3), indent=1))
        tab.get_by_role("button", name="Plan it").click()
        tab.get_by_role("button", name="Approve and simulate").click()
        tab.wait_for_url("**/ui/runs/*")
        tab.get_by_role("button", name="Events").click()
        tab.locator(".legend .chip", has_text="done").wait_for()

        tab.get_by_role("button", name="Pause", exact=True).click()
        tab.locator(".st.big", has_text="Paused").wait_for()
        tab.get_by_role("button", name="Resume").click()
        tab.locator(".st.big", has_text="Running").wait_for()
        # refused, cut off in its head, in its chunks or in its body: the ways in which a killed service answers
        cut = (
            "net::ERR_CONNECTION",
            "net::ERR_EMPTY_RESPONSE",
            "net::ERR_INCOMPLETE",
            "net::ERR_CONTENT_LENGTH_MISMATCH",
        )
        window.expected += cut
        first.send_signal(signal.SIGKILL)
        first.wait()
        tab.locator("#banner", has_text="Not live since").wait_for()
        assert "not live" in tab.locator("#live").inner_text()

        with service_process(tmp_path, *SLOW, "--port", str(urlsplit(url).port)):
            tab.get_by_role("button", name="Try now").click()
            tab.locator(".st.big", has_text="Completed").wait_for()
            assert tab.locator("#banner").inner_text() == ""
            assert tab.title().startswith("Completed · shop 24/24")
            last = tab.evaluate("fetch('../../v1/workflows/batch/latest').then((a) => a.headers.get('etag'))")
            count = int(last.strip('"').rpartition("-")[2])
            tab.locator(f"[data-seq='{count}']").wait_for()
            assert seen == list(range(1, count + 1))

            tab.get_by_role("button", name="Now").click()
            tab.get_by_text("Hand-over note").click()
            tab.get_by_text("Completed: 24 of 24 steps done.").wait_for()
            tab.get_by_label("Find in steps").fill("0007")
            tab.get_by_role("row").filter(has_text="shop-0007").dblclick()
            tab.get_by_role("heading", name="web/shop-0007").wait_for()
            tab.get_by_text("succeeded in").wait_for()


def numbers(answer: Any) -> list[int]:
    return [one["seq"] for one in answer.json()["items"]]


def test_people_sign_in_by_a_code_and_see_only_what_they_may_do(tmp_path: Path) -> None:
    tokens, now = Tokens(Settings(tmp_path / "state")), SystemClock().now()
    secrets = {role: tokens.create(role, role, now, None)[1] for role in (Role.VIEWER, Role.OPERATOR)}
    with service_process(tmp_path, "--simulate") as (url, _), browser(url) as window:
        window.expected += ("status of 401",)
        tab = window.page("/ui/plan?t=local")
        tab.get_by_label("Or paste a token").fill(secrets[Role.VIEWER])
        tab.get_by_role("button", name="Sign in").click()
        tab.get_by_text("you are a viewer").wait_for()  # where the reader wanted to go
        assert tab.get_by_role("button", name="Plan it").count() == 0
        tab.get_by_role("link", name="Service", exact=True).click()
        tab.get_by_role("link", name="Tokens and audit").click()
        tab.get_by_text("are shown to admins").wait_for()
        place = "document.querySelector('.bar').compareDocumentPosition(document.querySelector('main'))"
        assert tab.evaluate(f"{place} & Node.DOCUMENT_POSITION_FOLLOWING")  # also if its module came late
        assert tab.get_by_role("table").count() == 0
        window.expected += ("status of 403",)
        call = "{method: 'POST', body: '{}', headers: {'Content-Type': 'application/json'}}"
        assert tab.evaluate(f"fetch('../v1/workflows/batch/plan', {call}).then((answer) => answer.status)") == 403
        tab.get_by_role("button", name="Sign out").click()
        tab.get_by_label("Or paste a token").wait_for()

        where = {"BATCHWRIGHT_URL": url, "BATCHWRIGHT_TOKEN": secrets[Role.OPERATOR]}
        opened = run_in_process(["open", "--json"], environment(tmp_path, **where), tmp_path)
        assert opened.returncode == 0, opened.stderr
        address = json.loads(opened.stdout)["url"]
        tab = window.page(address.removeprefix(url))
        tab.get_by_text("operator · operator").wait_for()
        assert "code" not in tab.url
        tab.get_by_role("link", name="Plan", exact=True).click()
        tab.get_by_role("button", name="Plan it").wait_for()
        tokens.revoke("operator", now)
        tab.get_by_role("link", name="Servers").click()
        tab.get_by_label("Or paste a token").wait_for()


@pytest.mark.long
def test_a_proposed_change_is_approved_by_somebody_else(tmp_path: Path) -> None:
    tokens, now = Tokens(Settings(tmp_path / "state")), SystemClock().now()
    secrets = {role: tokens.create(role, role, now, None)[1] for role in (Role.PROPOSER, Role.OPERATOR)}

    def call(method: str, path: str, body: bytes = b"") -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {secrets[Role.PROPOSER]}", "Content-Type": "application/json"}
        with urlopen(Request(f"{url}{path}", body or None, headers, method=method)) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    with service_process(tmp_path, "--simulate") as (url, _), browser(url) as window:
        proposal = call("POST", "/v1/proposals", json.dumps(workflow("flow", 2)).encode())
        window.expected += ("status of 401",)
        tab = window.page("/ui/approvals")
        tab.get_by_label("Or paste a token").fill(secrets[Role.OPERATOR])
        tab.get_by_role("button", name="Sign in").click()
        tab.get_by_text("proposer proposes to apply: run flow 1 on flow: + 2").wait_for()
        tab.get_by_text("May decide: an operator other than proposer.").wait_for()
        tab.get_by_label(f"Comment on proposal {proposal['hash'][:8]}").fill("for the sale")
        tab.get_by_role("button", name=f"Approve {proposal['hash'][:8]}").click()
        tab.get_by_text("It was approved by operator: for the sale.").wait_for()
        assert call("POST", f"/v1/proposals/{proposal['hash']}/apply")["workflow"] == "flow"
