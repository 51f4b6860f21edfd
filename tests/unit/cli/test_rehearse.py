"""The command `rehearse`: its exit codes and the forms of its report, each over one experiment."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from batchwright.cli.exit_codes import Exit
from batchwright.cli.main import run_command

FILE = """{
  batch_workflow = {
    name = "small", version = "1",
    operations = [
      { id = "up", type = "server_batch", provider = "upcloud",
        server_configs = [{ name = "a", plan = "1xCPU-2GB", zone = "de-fra1" }] },
      { id = "migrate", type = "command", run = ["./migrate"], dependencies = ["up"] },
    ],
  },
}
"""
FULL = "up/a create:capacity"
LOST = "migrate/run run:lost_answers"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BATCHWRIGHT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.ncl"
    path.write_text(FILE)
    return Path("small.ncl")


def test_a_fault_that_needs_a_person_by_its_nature_is_a_note(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["rehearse", str(file), "--at", FULL]) == Exit.OK
    said = capsys.readouterr().out
    timeline = said.index("      time  processes")
    assert max(map(len, (line for line in said[:timeline].splitlines() if "repeat:" not in line))) <= 80
    assert "note F1: small.ncl:6: up/a: the run stops" in said
    assert f"repeat: batchwright rehearse small.ncl --at '{FULL}' --seed 1" in said
    assert "fault capacity up/a" in said  # its timeline
    assert not Path("state").exists()


def test_a_command_in_doubt_is_a_warning_in_every_form(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["rehearse", str(file), "--at", LOST, "--html", "r.html", "--junit", "r.xml"]
    assert run_command([*words, "--json"]) == Exit.NO
    report = json.loads(capsys.readouterr().out)
    (found,) = report["findings"]
    assert (found["level"], found["kind"], found["line"], found["at"]) == ("warning", "doubt", 7, LOST)
    assert "idempotent = true" in found["instead"]
    assert report["self_check"]["runs"] > 0
    assert (report["ok"], report["status"], report["coverage"]["runs"]) == (False, "Completed", 3)
    page = Path("r.html").read_text()
    assert "<script" not in page
    assert "http" not in page
    assert "migrate/run" in page
    (failure,) = Xml.fromstring(Path("r.xml").read_text()).iter("failure")
    assert failure.get("type") == "doubt"
    assert run_command([*words, "--annotations"]) == Exit.NO
    assert capsys.readouterr().out.startswith("::warning file=small.ncl,line=7,")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--at", "x"], "expected SUBJECT VERB:FAULT"),
        (["--faults", "flood"], "there is no such fault"),
        (["--json", "--annotations"], "two forms"),
        (["--against", "nowhere"], "nowhere"),
        (["--at", FULL, "--html", "no/such/folder"], "--html"),
    ],
)
def test_what_cannot_be_rehearsed(file: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["rehearse", str(file), *words]) == Exit.COULD_NOT
    told = capsys.readouterr()
    assert said in told.out + told.err


def test_what_an_environment_has_is_begun_with_and_only_read(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["run", str(file), "--sim", "time_scale=0"]) == Exit.OK
    file.write_text(FILE.replace("de-fra1", "nl-ams1").replace('["./migrate"]', '["./migrate"], idempotent = true'))
    capsys.readouterr()
    against = ["rehearse", str(file), "--against", "small", "--replace", "a", "--at", "up/a create:after", "--json"]
    assert run_command(against) == Exit.OK
    report = json.loads(capsys.readouterr().out)
    (found,) = report["findings"]
    assert (found["kind"], found["about"], found["level"]) == ("not_restored", ["up/a!old"], "note")
    assert "--replace a" in found["repeat"]
    assert run_command(["environments", "--json"]) == Exit.OK
    (row,) = json.loads(capsys.readouterr().out)["environments"]
    assert row["servers"] == 1


def test_a_file_that_is_no_workflow_is_refused_as_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("{ batch_workflow = {} }")
    assert run_command(["rehearse", str(file), "--json"]) == Exit.COULD_NOT
    out, err = capsys.readouterr()
    told = json.loads(out)["error"]
    assert (told["code"], err) == ("workflow-invalid", "")
    assert told["diagnostics"][0]["file"] == "small.ncl"
