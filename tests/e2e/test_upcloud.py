"""The command line over the UpCloud adapter and an emulated account: refused beforehand, run, swept, rolled back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.command_line import impatient
from tests.support.emulated import Running

from batchwright.cli.exit_codes import Exit
from batchwright.cli.main import run_command
from batchwright.emulators.upcloud import UpCloudBehaviour
from batchwright.fault_injection.draw import Draw

SERVERS = 6
FAULTY = UpCloudBehaviour(
    seed=3,
    time_scale=0.005,
    transient=0.1,
    bad_gateway=0.1,
    throttle=0.02,
    lost_answers=0.15,
    late_commits=0.15,
    late_max=20,
    list_lag=20,
    keep_addresses=0.4,
    left_disks=0.4,
    broken=0.1,
)


class Desk:
    """Types commands; the account lasts as long as the test."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], running: Running) -> None:
        self.file, self._capsys, self.emulator = folder / "web.json", capsys, running.emulator
        configs = [{"name": f"web-{n}", "plan": "1xCPU-2GB", "zone": "de-fra1"} for n in range(SERVERS)]
        retry = {"max_attempts": 15, "initial_delay": 0.05, "max_delay": 0.2}
        batch = {"id": "web", "type": "server_batch", "provider": "upcloud", "server_configs": configs, "retry": retry}
        self.file.write_text(json.dumps({"batch_workflow": {"name": "web", "version": "1", "operations": [batch]}}))

    def type(self, *words: str) -> tuple[int, str]:
        """The exit code, and all that was said."""
        self._capsys.readouterr()
        code = run_command(words)
        said = self._capsys.readouterr()
        return code, said.out + said.err

    def ask(self, *words: str) -> tuple[int, dict[str, Any]]:
        self._capsys.readouterr()
        code = run_command([*words, "--json"])
        answer: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        return code, answer

    def held(self) -> dict[str, list[dict[str, Any]]]:
        return self.emulator.account.summary()

    def become(self, **changes: Any) -> None:
        """The account is another one from here on."""
        self.emulator.account.behaviour = replace(self.emulator.account.behaviour, **changes)


@pytest.fixture
def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> Iterator[Desk]:
    (tmp_path / "batchwright").mkdir()
    settings = "[upcloud]\nsettle_seconds = 0.6\npoll_seconds = 0.05\nrate = 0\n"
    (tmp_path / "batchwright" / "config.toml").write_text(settings)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("BATCHWRIGHT_STATE_DIR", str(tmp_path / "state"))
    with Running(getattr(request, "param", UpCloudBehaviour(time_scale=0.002))) as running:
        for key, value in running.environ.items():
            monkeypatch.setenv(key, value)
        yield Desk(tmp_path, capsys, running)


@pytest.mark.parametrize("desk", [FAULTY, replace(FAULTY, seed=4), replace(FAULTY, seed=5)], indirect=True)
def test_a_run_with_every_fault_makes_exactly_what_was_asked_and_its_rollback_leaves_nothing(desk: Desk) -> None:
    code, said = desk.type("run", str(desk.file))
    assert code == Exit.OK, said
    held = desk.held()
    assert sorted(one["title"] for one in held["servers"]) == [f"web-{n}" for n in range(SERVERS)]
    assert {one["server"] for one in held["disks"]} == {one["uuid"] for one in held["servers"]}
    assert len(held["disks"]) == SERVERS
    for _ in range(5):  # one that is told RollbackIncomplete can be tried again
        code, said = desk.type("rollback", "latest", "--yes")
        if code == Exit.OK:
            break
    held = desk.held()
    assert (code, held["servers"], held["disks"], held["addresses"]) == (Exit.OK, [], [], []), said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"auth": "expired"}, "The token may have expired"),
        ({"cores": 3}, "the account may use 3 of cores: 0 are used, 6 more are needed"),
        ({"public_ipv4": 5}, "public IPv4 addresses"),
        ({"read_errors": 1.0}, "UpCloud: The service is not available"),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_changed(
    desk: Desk, change: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    desk.become(**change)
    code, said = desk.type("run", str(desk.file))
    assert code == Exit.NO
    assert words in said
    assert [call for call in desk.emulator.account.happened if call.startswith(("POST", "PUT", "DELETE"))] == []


def test_missing_credentials_are_told_in_words(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UPCLOUD_TOKEN")
    code, said = desk.type("plan", str(desk.file))
    assert code == Exit.NO
    assert "UPCLOUD_TOKEN is not set" in said
    assert "--simulate" in said


def test_a_token_without_the_right_to_create_is_told_before_anything_is_begun(desk: Desk) -> None:
    desk.become(read_only=True)
    code, said = desk.type("run", str(desk.file))
    assert code == Exit.NO
    assert "lack a permission" in said
    assert "refused the credentials or the permission" in said
    assert desk.emulator.account.happened["POST /server"] == 1, "one that could have made nothing"
    assert desk.ask("list") == (Exit.OK, {"runs": [], "more": 0})


def test_gc_finds_what_came_to_be_long_after_the_run_and_removes_it_only_when_told(desk: Desk) -> None:
    assert desk.type("run", str(desk.file))[0] == Exit.OK
    assert desk.ask("gc", "--run", "latest")[1]["strays"] == []
    account = desk.emulator.account
    first = next(iter(account.all_servers.values()))
    late = account.create(first.asked, Draw("late"))  # the same labels: a create that UpCloud carried out after hours
    lost = account.create(first.asked, Draw("lost"))
    lost.left_disk = True
    account.delete(lost, with_disks=True)
    code, told = desk.ask("gc", "--run", "latest")
    assert code == Exit.NO
    assert {one["ref"] for one in told["strays"]} == {late.uuid, f"disk:{lost.disks[0].uuid}"}
    assert len(desk.held()["servers"]) == SERVERS + 1
    code, said = desk.type("gc", "--run", "latest", "--yes")
    assert code == Exit.OK
    assert "2 orphans removed, 0 left" in said
    held = desk.held()
    assert (len(held["servers"]), len(held["disks"])) == (SERVERS, SERVERS)
    assert desk.type("rollback", "latest", "--yes")[0] == Exit.OK
    again = account.create(first.asked, Draw("again"))
    assert [one["ref"] for one in desk.ask("gc", "--run", "latest", "--yes")[1]["strays"]] == [again.uuid]
    held = desk.held()
    assert (held["servers"], held["disks"], held["addresses"]) == ([], [], [])
