"""taskservs list, show and check as they are typed, with a catalogue of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batchwright.cli import main as entry
from batchwright.cli.exit_codes import Exit
from batchwright.taskservs.catalogue import load_catalogue

METADATA = """\
name: mine
version: "1"
summary: something of ours
seconds: 5
tested: real
needs: { memory_mb: 100, cpus: 2 }
variables:
  level: { type: enum, values: [low, high], default: low, summary: how much }
  token: { type: secret, summary: who we are }
"""
FLOW = {
    "batch_workflow": {
        "name": "x",
        "version": "1",
        "operations": [
            {
                "id": "s",
                "type": "server_batch",
                "provider": "aws",
                "server_configs": [{"name": "a", "plan": "t3.micro", "zone": "eu-central-1a"}],
            },
            {"id": "t", "type": "taskserv_batch", "provider": "aws", "dependencies": ["s"], "taskservs": ["mine"]},
        ],
    }
}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("BATCHWRIGHT_CATALOGUES", raising=False)
    (tmp_path / "own" / "mine").mkdir(parents=True)
    (tmp_path / "own" / "mine" / "taskserv.yaml").write_text(METADATA)
    (tmp_path / "own" / "mine" / "deploy.py").write_text("def install(v): v.level\ndef remove(v): pass\n")
    return tmp_path / "own"


def typed(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = entry.run_command([str(word) for word in words])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_without_a_word_they_are_listed_with_how_they_were_tested(capsys: pytest.CaptureFixture[str]) -> None:
    code, bare, _ = typed(capsys, "taskservs")
    assert code == Exit.OK
    assert typed(capsys, "taskservs", "list")[1] == bare
    lines = {line.split()[0]: line for line in bare.splitlines()}
    assert "with stubs only" in lines["kubernetes"]
    assert "for real" in lines["etcd"]


def test_ones_own_are_listed_by_option_and_by_the_environment(
    own: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "something of ours" not in typed(capsys, "taskservs")[1]
    assert "something of ours" in typed(capsys, "taskservs", "--catalogue", own)[1]
    assert "something of ours" in typed(capsys, "taskservs", "list", "--catalogue", own)[1]
    monkeypatch.setenv("BATCHWRIGHT_CATALOGUES", str(own))
    listed = json.loads(typed(capsys, "taskservs", "list", "--json")[1])["taskservs"]
    assert "mine" in [each["name"] for each in listed]


def test_one_is_shown_in_full(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, shown, _ = typed(capsys, "taskservs", "show", "mine", "--catalogue", own)
    assert code == Exit.OK
    for words in ("tested: for real", "needs: 100 MB, 2 CPUs", 'default "low"', "required", "such as { env ="):
        assert words in shown
    stubs = typed(capsys, "taskservs", "show", "cilium")[1]
    assert "tested: with stubs only" in stubs
    assert "the first one is the leader" in stubs


def test_entries_are_checked(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([own], [own / "mine"]):
        assert typed(capsys, "taskservs", "check", *words)[:2] == (Exit.OK, "1 entry checked: no mistakes\n")
    (own / "mine" / "deploy.py").write_text("def install(v): v.lavel\n")
    code, said, told = typed(capsys, "taskservs", "check", own)
    assert (code, said) == (Exit.NO, "1 entry checked: 2 mistakes\n")
    assert 'hint: Did you mean "level"?' in told
    code, said, _ = typed(capsys, "taskservs", "check", "--catalogue", own, "--json")
    found = json.loads(said)
    assert (code, found["ok"], len(found["mistakes"])) == (Exit.NO, False, 2)
    assert len(found["entries"]) == len(load_catalogue()) + 1
    assert typed(capsys, "taskservs", "check", own.parent / "nothing")[0] == Exit.COULD_NOT


def test_validate_knows_ones_own_and_what_it_must_be_given(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = own.parent / "flow.json"
    file.write_text(json.dumps(FLOW, indent=2))
    code, _, told = typed(capsys, "validate", file)
    assert code == Exit.NO
    assert 'there is no task service "mine" [taskserv-unknown]' in told
    code, _, told = typed(capsys, "validate", file, "--catalogue", own)
    assert code == Exit.NO
    assert "flow.json:26:11:" in told
    assert '"mine" needs a value for its variable "token"' in told
    flow = json.loads(file.read_text())
    use = {"name": "mine", "variables": {"token": {"env": "TOKEN"}}}
    flow["batch_workflow"]["operations"][1]["taskservs"] = [use]
    file.write_text(json.dumps(flow))
    assert typed(capsys, "validate", file, "--catalogue", own)[0] == Exit.OK
