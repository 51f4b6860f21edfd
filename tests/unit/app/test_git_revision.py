"""The git commit of a workflow's folder; nothing that the repository names is executed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from batchwright.app.git_revision import GitRevision, git_revision

WHO = {"NAME": "ada", "EMAIL": "ada@example.org"}


class Repository:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "shop.ncl"
        self.file.write_text("{}")
        self.git("init", "--quiet")
        self.commit()

    def git(self, *words: str) -> str:
        who = {f"GIT_{role}_{name}": value for role in ("AUTHOR", "COMMITTER") for name, value in WHO.items()}
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **who}
        done = subprocess.run(["git", *words], cwd=self.folder, env=env, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "one")

    def revision(self, *files: Path) -> GitRevision:
        return git_revision(files or (self.file,), {"PATH": os.environ["PATH"], "HOME": str(self.folder)})


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_the_commit_and_whether_the_files_are_its(repository: Repository) -> None:
    commit = repository.git("rev-parse", "HEAD")
    assert repository.revision() == GitRevision(commit, clean=True)
    os.utime(repository.file, (1, 1))  # touched is not changed
    assert repository.revision() == GitRevision(commit, clean=True)
    overlay = repository.folder / "more.ncl"
    overlay.write_text("{}")
    assert repository.revision() == GitRevision(commit, clean=True), "a file that is not used"
    assert repository.revision(repository.file, overlay) == GitRevision(commit, clean=False)
    repository.file.write_text("{ }")
    assert repository.revision() == GitRevision(commit, clean=False)


def test_outside_a_repository_or_without_git_there_is_no_commit(repository: Repository, tmp_path: Path) -> None:
    assert git_revision((repository.file,), {"PATH": str(tmp_path)}) == GitRevision()
    bare = {"PATH": os.environ["PATH"], "GIT_DIR": str(repository.folder / ".git")}
    assert git_revision((Path("/proc/version"),), bare) == GitRevision(), "variables of git do not count"


def test_nothing_that_the_repository_names_is_executed(repository: Repository) -> None:
    proof, trap = repository.folder / "executed", repository.folder / ".git" / "trap"
    trap.write_text(f'#!/bin/sh\necho "$0 $*" >>{proof}\ncat\n')
    trap.chmod(0o755)
    (repository.folder / ".gitattributes").write_text("* filter=a=b.c diff=drawn\n*.ncl filter=trap\n")
    repository.commit()
    for hook in ("post-index-change", "post-checkout", "pre-auto-gc"):
        (repository.folder / ".git" / "hooks" / hook).write_bytes(trap.read_bytes())
        (repository.folder / ".git" / "hooks" / hook).chmod(0o755)
    for key in (
        "core.fsmonitor", "core.pager", "core.sshCommand", "diff.external", "diff.drawn.command",
        "diff.drawn.textconv", "filter.trap.clean", "filter.trap.smudge", "filter.trap.process", "filter.a=b.c.clean",
        "core.alternateRefsCommand", "gpg.program", "alias.rev-parse",
    ):  # fmt: skip
        repository.git("config", "--file", ".git/config", key, f"!{trap}" if key.startswith("alias") else str(trap))
    repository.git("config", "--file", ".git/config", "filter.trap.required", "true")
    repository.file.write_text("{ }")
    assert repository.revision().clean is False
    assert not proof.exists(), proof.read_text()
    subprocess.run(["git", "status"], cwd=repository.folder, capture_output=True, check=False)
    assert proof.exists(), "without care it would be executed"
