"""A run is more important than its screen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batchwright.cli import monitor
from batchwright.cli.exit_codes import Exit
from batchwright.cli.main import run_command
from batchwright.cli.progress_display import NullDisplay
from batchwright.views.progress_update import ProgressUpdate

SERVER = {"name": "a", "plan": "1xCPU-2GB", "zone": "de-fra1"}
WEB = {"id": "web", "type": "server_batch", "provider": "upcloud", "server_configs": [SERVER]}
WORKFLOW = {"batch_workflow": {"name": "shop", "version": "1.0.0", "operations": [WEB]}}


class Failing(NullDisplay):
    """Fails at the first look."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def draw(self, update: ProgressUpdate, now: float) -> None:
        raise self._error


@pytest.fixture
def workflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("BATCHWRIGHT_STATE_DIR", str(tmp_path / "state"))
    file = tmp_path / "shop.json"
    file.write_text(json.dumps(WORKFLOW))
    return str(file)


def fail_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(monitor, "display_for", lambda **_: Failing(error))


def test_a_broken_display_never_takes_the_run_down(
    workflow: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, KeyError("surprise"))
    assert run_command(["run", workflow, "--sim", "time_scale=0"]) == Exit.OK
    shown = capfd.readouterr()
    assert shown.err.count("error: the display failed, the run continues: KeyError: 'surprise' [bug]") == 1
    assert "Completed in" in shown.out
