"""A simulated service with runs, for tests that use the page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.browser import Browser
from tests.support.command_line import environment, run_in_process
from tests.support.service_in_loop import workflow
from tests.support.service_process import service_process

SIMULATED = ("--simulate", "--sim", "answer_seconds=0.01", "--sim", "boot_seconds=0.02")


class Stage:
    """A service with runs, and how to make more."""

    def __init__(self, home: Path, url: str, **more: str) -> None:
        self.home, self.url, self._more = home, url, more

    def submit(self, definition: dict[str, Any], *more: str) -> str:
        file = self.home / f"{definition['batch_workflow']['name']}.json"
        file.write_text(json.dumps(definition))
        words = ["submit", str(file), "--json", *more]
        done = run_in_process(words, environment(self.home, BATCHWRIGHT_URL=self.url, **self._more), self.home)
        assert done.returncode == 0, done.stderr + done.stdout
        run: str = json.loads(done.stdout)["run"]
        return run


@contextmanager
def simulated_stage(home: Path) -> Iterator[Stage]:
    """Such a service, in this folder."""
    with service_process(home, *SIMULATED) as (url, _):
        yield Stage(home, url)


def asking(name: str) -> dict[str, Any]:
    """Servers behind a question to people."""
    definition = workflow(name, 3)
    inner = definition["batch_workflow"]
    inner["operations"].insert(0, {"id": "sure", "type": "approval", "ask": "Shall it begin?"})
    inner["operations"][1]["dependencies"] = ["sure"]
    return definition


def ended(window: Browser, run: str, word: str = "Completed") -> Any:
    """A tab with a run, once it is in this state."""
    tab = window.page(f"/ui/runs/{run}")
    tab.locator(".st.big", has_text=word).wait_for()
    return tab
