"""batchwright emulate, and providers verify against what it serves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.emulated import Running, RunningHetzner

from batchwright.cli.exit_codes import Exit
from batchwright.cli.main import run_command
from batchwright.emulators import hetzner
from batchwright.emulators.upcloud import UpCloudBehaviour
from batchwright.providers.upcloud.settings import UpCloudSettings

DOC = (Path(__file__).parents[3] / "docs" / "providers" / "upcloud.md").read_text()


@pytest.mark.parametrize("field", sorted(set(UpCloudSettings.__struct_fields__) - {"state_dir"}))
def test_every_setting_is_told(field: str) -> None:
    assert f"| `{field}` |" in DOC


def test_a_misspelt_fault_is_answered_with_the_one_that_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["emulate", "upcloud", "--fault", "lost_answer=1"]) == Exit.COULD_NOT
    assert "Did you mean lost_answers?" in capsys.readouterr().err
    assert run_command(["emulate", "upcloud", "--fault", "errors=often"]) == Exit.COULD_NOT
    assert run_command(["emulate", "upcloud", "--time-scale", "0"]) == Exit.COULD_NOT


def test_it_explains_what_it_covers_and_what_nobody_has_verified(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["emulate", "upcloud", "--explain"]) == Exit.OK
    told = capsys.readouterr().out
    assert "POST /server -> 202" in told
    assert "not verified" in told


def fast(cloud: str, environ: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of config.toml reach the adapter."""
    (folder / "batchwright").mkdir()
    (folder / "batchwright" / "config.toml").write_text(f"[{cloud}]\nsettle_seconds = 0.4\npoll_seconds = 0.05\n")
    told = {"XDG_CONFIG_HOME": str(folder), "BATCHWRIGHT_STATE_DIR": str(folder / "state")}
    for key, value in {**environ, **told}.items():
        monkeypatch.setenv(key, value)


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """A fast account of UpCloud."""
    with Running(UpCloudBehaviour(time_scale=0.002, stop_seconds=400)) as running:
        fast("upcloud", running.environ, tmp_path, monkeypatch)
        yield running.emulator


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """A fast project of Hetzner's."""
    with RunningHetzner(hetzner.HetznerBehaviour(time_scale=0.01)) as running:
        fast("hetzner", running.environ, tmp_path, monkeypatch)
        yield running.emulator


def test_verify_without_live_only_looks(account, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert run_command(["providers", "verify", "upcloud"]) == Exit.OK
    told = capsys.readouterr().out
    assert "two servers of the cheapest plan" in told
    assert "0.0194 EUR an hour" in told
    assert not [call for call in account.account.happened if not call.startswith("GET")]


def test_verify_live_refuses_to_cost_more_and_leaves_nothing(account, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert run_command(["providers", "verify", "upcloud", "--live"]) == Exit.COULD_NOT
    assert run_command(["providers", "verify", "upcloud", "--live", "--max-cost", "0.001"]) == Exit.COULD_NOT
    assert account.account.happened["POST /server"] == 0
    capsys.readouterr()
    assert run_command(["providers", "verify", "upcloud", "--live", "--max-cost", "0.05", "--json"]) == Exit.OK
    told = json.loads(capsys.readouterr().out)
    assert [one["question"] for one in told["findings"]] == told["questions"]
    assert not [one for one in told["findings"] if one.get("as_assumed") is False]
    left = account.account.summary()
    assert (left["servers"], left["disks"], left["addresses"]) == ([], [], [])


def test_verify_asks_hetzner_all_of_it_and_leaves_nothing(project, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert run_command(["providers", "verify", "hetzner"]) == Exit.OK
    assert "three servers of the cheapest type" in capsys.readouterr().out
    assert project.account.happened["POST /servers"] == 0
    assert run_command(["providers", "verify", "hetzner", "--live", "--max-cost", "0.05", "--json"]) == Exit.OK
    told = json.loads(capsys.readouterr().out)
    assert [one["question"] for one in told["findings"]] == told["questions"]
    assert not [one for one in told["findings"] if one.get("as_assumed") is False]
    left = project.account.summary()
    assert (left["servers"], left["ssh_keys"]) == ([], [])


def test_a_project_that_allows_few_looks_is_asked_less_and_no_step_pays_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configs = [{"name": f"web-{i}", "plan": "cx23", "zone": "fsn1"} for i in range(4)]
    batch = {"id": "web", "type": "server_batch", "provider": "hetzner", "server_configs": configs}
    file = tmp_path / "few.json"
    file.write_text(json.dumps({"batch_workflow": {"name": "few", "version": "1", "operations": [batch]}}))
    # four looks every 0.05 s would be 80 a second; on a slow machine there are fewer, so one is refused anyway
    with RunningHetzner(hetzner.HetznerBehaviour(time_scale=0.02, rate=20, burst=14, retry_after=0)) as running:
        first, admitted = iter([True]), running.emulator._admitted
        refused = lambda call: call.name == "GET /servers" and next(first, False)  # noqa: E731
        monkeypatch.setattr(running.emulator, "_admitted", lambda call: not refused(call) and admitted(call))
        fast("hetzner", running.environ, tmp_path, monkeypatch)
        assert run_command(["run", str(file), "--json"]) == Exit.OK
        assert run_command(["rollback", "latest", "--yes", "--json"]) == Exit.OK
        told = json.loads(capsys.readouterr().out.splitlines()[-1])
        happened, left = running.emulator.account.happened, running.emulator.account.summary()
    assert (told["status"], left["servers"], left["ssh_keys"]) == ("RolledBack", [], [])
    assert happened["rate"] > 0
    assert happened["rate"] < happened["GET /servers"] / 2


def test_a_provider_without_a_live_check_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["providers", "verify", "local"]) == Exit.COULD_NOT
    assert "has no live check" in capsys.readouterr().err


def test_the_list_of_providers_is_still_there_without_a_word_after_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["providers", "--json"]) == Exit.OK
    assert "upcloud" in [offer["name"] for offer in json.loads(capsys.readouterr().out)["providers"]]


def test_a_hetzner_token_without_the_right_to_write_is_told_before_anything_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = {"id": "web", "type": "server_batch", "provider": "hetzner"}
    batch |= {"server_configs": [{"name": "web", "plan": "cx23", "zone": "fsn1"}]}
    file = tmp_path / "one.json"
    file.write_text(json.dumps({"batch_workflow": {"name": "one", "version": "1", "operations": [batch]}}))
    with RunningHetzner(hetzner.HetznerBehaviour(read_only=True)) as running:
        fast("hetzner", running.environ, tmp_path, monkeypatch)
        assert run_command(["run", str(file)]) == Exit.NO
        assert "token is readonly" in capsys.readouterr().err
        assert run_command(["list", "--json"]) == Exit.OK
    assert json.loads(capsys.readouterr().out) == {"runs": [], "more": 0}
