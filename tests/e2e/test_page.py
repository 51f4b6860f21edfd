"""The page in a real browser, as people use it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.browser import browser
from tests.support.command_line import environment, run_in_process
from tests.support.service_process import service_process

from batchwright.app.access_tokens import Tokens
from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from batchwright.model.role import Role

pytestmark = pytest.mark.xdist_group("page")


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
