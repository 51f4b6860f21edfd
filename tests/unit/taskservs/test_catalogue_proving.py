"""What `taskservs check` sees without a server: deploys that take what they are not given, scripts that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchwright.taskservs.catalogue import all_folders, lint_folders, load_catalogue

ENTRY = """\
name: mine
version: "1"
summary: for a test
seconds: 5
scope: cluster
variables:
  port: { type: port, default: 80, summary: x }
  password: { type: secret, optional: true, summary: x }
outputs: { key: { run: cat /etc/key } }
check: [{ name: up, run: 'true' }]
"""
DEPLOY = """\
def install(v):
    print(v.port, v.server.address, v.cluster.number, v.outputs.key, getattr(v, "password", None))

def remove(v):
    pass
"""


def entry(folder: Path, deploy: str | None = DEPLOY, metadata: str = ENTRY) -> Path:
    (folder / "mine").mkdir()
    (folder / "mine" / "taskserv.yaml").write_text(metadata)
    if deploy is not None:
        (folder / "mine" / "deploy.py").write_text(deploy)
    return folder / "mine"


def test_the_built_in_entries_are_right() -> None:
    folders = [Path(str(folder)) for folder in all_folders()]
    assert len(folders) == len(load_catalogue())
    assert lint_folders(folders) == []


def test_a_right_entry_has_no_mistakes(tmp_path: Path) -> None:
    assert lint_folders([entry(tmp_path)]) == []


@pytest.mark.parametrize(
    ("old", "new", "said", "hint"),
    [
        ("v.port", "v.prot", "line 2: v.prot: there is no such variable", 'Did you mean "port"?'),
        ("v.server.address", "v.server.adress", "line 2: v.server has no adress", 'Did you mean "address"?'),
        ("v.cluster.number", "v.cluster.leeder", "line 2: v.cluster has no leeder", 'Did you mean "leader"?'),
        ("v.outputs.key", "v.outputs.kay", "line 2: v.outputs has no kay", 'Did you mean "key"?'),
        ('"password"', '"pasword"', "line 2: there is no variable pasword", 'Did you mean "password"?'),
        ("v.port", "v.password", "line 2: v.password is optional", 'Write getattr(v, "password", None).'),
        ("def remove(v)", "def uninstall(v)", "has no function remove(v)", "docs/taskservs.md"),
        ("def install(v)", "def install(v, w)", "has no function install(v)", "docs/taskservs.md"),
        ("def install(v)", "def install v", "is not Python", "Correct the line it names."),
        ("def install(v)", "import not_there_at_all\ndef install(v)", "No module named 'not_there_at_all'", "Install"),
        (
            "def install(v)",
            "raise SystemExit(3)\ndef install(v)",
            "cannot be loaded: SystemExit: 3",
            "Correct the line",
        ),
    ],
)
def test_a_deploy_that_would_fail_is_told_before(tmp_path: Path, old: str, new: str, said: str, hint: str) -> None:
    assert old in DEPLOY
    (mistake,) = lint_folders([entry(tmp_path, DEPLOY.replace(old, new))])
    assert mistake.file == str(tmp_path / "mine" / "deploy.py")
    assert said in mistake.message
    assert mistake.hint.startswith(hint)


def test_a_missing_deploy_is_told(tmp_path: Path) -> None:
    (mistake,) = lint_folders([entry(tmp_path, None)])
    assert (Path(mistake.file).name, mistake.message) == ("deploy.py", "is missing")


def test_scripts_that_are_no_shell_are_told(tmp_path: Path) -> None:
    metadata = ENTRY.replace("run: 'true'", "run: 'if true'").replace("cat /etc/key", "'( cat'")
    folder = entry(tmp_path, metadata=metadata + "present: 'case'\n")
    (folder / "files").mkdir()
    (folder / "files" / "a.sh").write_text("while\n")
    found = lint_folders([folder])
    assert [Path(one.file).name for one in found] == ["taskserv.yaml"] * 3 + ["a.sh"]
    assert [one.message.partition(":")[0] for one in found[:3]] == ["check.up.run", "outputs.key.run", "present"]


def test_mistakes_of_the_metadata_come_first_and_keep_the_rest_from_being_looked_at(tmp_path: Path) -> None:
    found = lint_folders([entry(tmp_path, "def", ENTRY.replace("scope: cluster", "scope: everywhere"))])
    assert [one.message for one in found] == ["scope: Invalid enum value 'everywhere'"]
