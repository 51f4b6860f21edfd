"""The git commit of a workflow file's folder, and whether the files are those of the commit.

The repository is foreign data: git reads it without hooks, filters, file monitors, other repositories or a network.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

SECONDS = 5.0  # for each call of git
OUTPUT = 64 * 1024  # bytes of its output that are read

_QUIET = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.pager": "cat",
    "diff.autoRefreshIndex": "true",
}
_ENVIRON = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_PAGER": "cat",
}


class GitRevision(Struct, frozen=True):
    """`commit` is "" outside a repository. `clean`: tracked files are as committed, and those asked for are tracked;
    None if git did not say so in time.
    """

    commit: str = ""
    clean: bool | None = None


def git_revision(files: Sequence[Path], environ: Mapping[str, str]) -> GitRevision:
    """The revision of the folder of the first of these files. Without git it is the same as outside a repository."""
    folder = files[0].absolute().parent
    inherited = {name: value for name, value in environ.items() if not name.startswith("GIT_")}
    plain = {**inherited, **_ENVIRON, **_configured(_QUIET)}
    code, commit = _git(folder, plain, "rev-parse", "--verify", "HEAD")
    if code != 0:
        return GitRevision()
    code, listed = _git(folder, plain, "config", "--null", "--name-only", "--get-regexp", r"^filter\.")
    if code not in (0, 1) or len(listed) >= OUTPUT:
        return GitRevision(commit.strip())
    names = [name for name in listed.split("\0") if name]
    # a filter is a program that the repository names; without it a filtered file may count as changed
    safe = {**inherited, **_ENVIRON, **_configured({**_QUIET, **dict.fromkeys(names, "")})}
    calls = (
        ("diff", "--quiet", "--no-ext-diff", "--no-textconv", "--ignore-submodules=all", "HEAD", "--"),
        ("ls-files", "--error-unmatch", "--", *(str(file.absolute()) for file in files)),
    )
    codes = [_git(folder, safe, *words)[0] for words in calls]
    return GitRevision(commit.strip(), None if not {0, 1}.issuperset(codes) else not any(codes))


def _configured(values: Mapping[str, str]) -> dict[str, str]:
    """Settings for git in variables, which take any name."""
    pairs: dict[str, str] = {}
    for i, (key, value) in enumerate(values.items()):
        pairs |= {f"GIT_CONFIG_KEY_{i}": key, f"GIT_CONFIG_VALUE_{i}": value}
    return {**pairs, "GIT_CONFIG_COUNT": str(len(values))}


def _git(folder: Path, environ: Mapping[str, str], *words: str) -> tuple[int, str]:
    """The exit code, -1 if there is no git or it took too long, and the beginning of the output."""
    command = ["git", "--no-pager", *words]
    try:
        with subprocess.Popen(  # noqa: S603 - words of ours
            command,
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            try:
                told = process.communicate(timeout=SECONDS)[0]
            except BaseException:
                process.kill()
                raise
            return process.returncode, told[:OUTPUT].decode(errors="replace")
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return -1, ""
