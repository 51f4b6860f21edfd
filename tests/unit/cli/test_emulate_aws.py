"""The command line over an emulated AWS: its settings are reported, its faults are met by real runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.emulated import RunningAws
from tests.support.emulated_aws import QUICK, set_credentials

from batchwright.cli.exit_codes import Exit
from batchwright.cli.main import run_command
from batchwright.emulators.aws import AwsBehaviour, Inventory
from batchwright.providers.aws.settings import AwsSettings

DOC = (Path(__file__).parents[3] / "docs" / "providers" / "aws.md").read_text()


@pytest.mark.parametrize("field", sorted(set(AwsSettings.__struct_fields__) - {"state_dir"}))
def test_every_setting_is_told(field: str) -> None:
    table = DOC.partition("| setting |")[2].partition("\n## ")[0]
    assert f"`{field}`" in table


class Desk:
    """A folder, an account, and commands."""

    def __init__(self, folder: Path, server: RunningAws) -> None:
        self.folder, self.server = folder, server

    def workflow(self, *plans: str) -> str:
        configs = [{"name": f"web-{i}", "plan": plan, "zone": "eu-central-1"} for i, plan in enumerate(plans)]
        retry = {"max_attempts": 8, "initial_delay": 0.05, "max_delay": 0.2}
        op = {"id": "web", "type": "server_batch", "provider": "aws", "server_configs": configs, "retry": retry}
        file = self.folder / "web.json"
        file.write_text(json.dumps({"batch_workflow": {"name": "web", "version": "1", "operations": [op]}}))
        return str(file)

    def holds(self) -> Inventory:
        return self.server.account.inventory()


@pytest.fixture
def desk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Over an account of the behaviour that the test asks for."""
    set_credentials(monkeypatch, tmp_path)
    (tmp_path / "batchwright").mkdir()
    config = "[aws]\nsettle_seconds = 1.5\npoll_seconds = 0.05\nrate = 0\n"
    (tmp_path / "batchwright" / "config.toml").write_text(config)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("BATCHWRIGHT_STATE_DIR", str(tmp_path / "state"))
    asked: dict[str, Any] = getattr(request, "param", {})
    with RunningAws(AwsBehaviour(**{**QUICK, **asked})) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield Desk(tmp_path, server)


HARD = {"broken": 0.3, "transient": 0.1, "lost_answers": 0.1, "late_commits": 0.1, "late_min": 0.1, "late_max": 0.4}


@pytest.mark.parametrize(
    "desk", [{**HARD, "list_lag": 0.2, "read_errors": 0.02, "rate": 20.0, "fail": "web-*=transient:1"}], indirect=True
)
def test_a_run_gets_there_whatever_aws_does_and_its_rollback_leaves_nothing(desk: Desk) -> None:
    assert run_command(["run", desk.workflow(*["t3.micro"] * 8)]) == Exit.OK
    made = desk.holds()
    assert sorted(one["Name"] for one in made.instances) == [f"web-{i}" for i in range(8)]
    assert (len(made.volumes), len(made.interfaces), len(made.groups), len(made.keys)) == (8, 8, 1, 1)
    assert "Unavailable" in made.refused  # the first create of each is refused, and not all of these answers are lost
    assert run_command(["rollback", "latest", "--yes"]) == Exit.OK
    left = desk.holds()
    assert (left.instances, left.volumes, left.interfaces, left.groups, left.keys) == ([], [], [], [], [])


@pytest.mark.parametrize("desk", [{"capacity": 2}], indirect=True)
def test_a_zone_without_room_fails_what_does_not_fit_and_keeps_the_rest(desk: Desk) -> None:
    assert run_command(["run", desk.workflow("t3.micro", "t3.micro", "t3.micro")]) == Exit.NO
    assert len(desk.holds().instances) == 2
    assert run_command(["rollback", "latest", "--yes"]) == Exit.OK
    assert desk.holds().groups == desk.holds().keys == []


@pytest.mark.parametrize(
    ("desk", "words"),
    [
        ({"auth": "expired"}, "credentials have expired"),
        ({"denied": "RunInstances"}, "no permission for RunInstances"),
        ({"clock_skew": -700.0}, "ahead of AWS's"),
        ({"vcpus": 2}, "may run 2 vCPUs"),
    ],
    indirect=["desk"],
)
def test_what_stands_against_it_is_told_before_the_first_change(
    desk: Desk, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["run", desk.workflow("t3.micro", "t3.micro")]) == Exit.NO
    assert words in " ".join(capsys.readouterr().err.split())
    assert desk.holds().instances == desk.holds().keys == []


def test_a_run_that_made_no_server_leaves_no_key_and_no_group(desk: Desk) -> None:
    file = desk.workflow("t3.micro")
    desk.server.account.behaviour = AwsBehaviour(**QUICK, fail="*=quota")  # type: ignore[arg-type]
    assert run_command(["run", file]) == Exit.NO
    left = desk.holds()
    assert left.calls["ImportKeyPair"] == 2, "one of them a dry run"
    assert left.groups == left.keys == []


def test_verify_only_shows_what_it_would_do(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["providers", "verify", "aws"]) == Exit.OK
    assert "it would create two instances t3.micro" in capsys.readouterr().out
    assert run_command(["providers", "verify", "aws", "--live", "--max-cost", "0.01"]) == Exit.COULD_NOT
    assert desk.holds().keys == []
