"""The base tree: built once however many want it, whole or not at all, removed when nobody lies over it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.needs import missing

from batchwright.errors import NotAllowed, ProviderUnavailable
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.local import base_tree, base_tree_contents, records
from batchwright.providers.local.host_support import NONE, this_machine

BUILDER = """\
#!/bin/sh
for last; do fresh=$list; list=$last; done
echo built >> "$COUNT"
echo "I: installing essential packages..."
[ -z "$COMPLAINT" ] || { echo "E: $COMPLAINT" >&2; exit 25; }
grep -q "^deb .* main" "$list" || exit 26
for folder in etc/ssh etc/systemd/system etc/apt/apt.conf.d usr/sbin tmp var/tmp var/cache/apt; do
    mkdir -p "$fresh/$folder"
done
touch "$fresh/etc/ssh/ssh_host_rsa_key" "$fresh/var/cache/apt/pkgcache.bin"
"""


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A machine whose mmdebstrap only says that it was called."""
    if this_machine().mode == NONE:
        missing(this_machine().why)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "mmdebstrap").write_text(BUILDER)
    (programs / "mmdebstrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("COUNT", str(tmp_path / "count"))
    monkeypatch.setenv("COMPLAINT", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return dict(os.environ)


def kept(environ: dict[str, str]) -> list[str]:
    return sorted(path.name for path in base_tree.cache(environ).iterdir())


def test_it_is_built_once_for_all_who_want_it(environ: dict[str, str], tmp_path: Path) -> None:
    left = base_tree.cache(environ) / f".new-{base_tree.place(environ).name}" / "half"
    left.mkdir(parents=True)  # of a build that was killed
    said: list[str] = []
    with ThreadPoolExecutor(4) as pool:
        places = set(pool.map(lambda _: base_tree.build(environ, said.append), range(4)))
    assert places == {base_tree.place(environ)}
    assert (tmp_path / "count").read_text() == "built\n"
    assert kept(environ) == [base_tree.place(environ).name]
    assert said.count("installing essential packages...") == 1


def test_what_no_server_may_share_is_not_in_it(environ: dict[str, str]) -> None:
    place = base_tree.build(environ, print)
    assert list((place / "etc/ssh").iterdir()) == []
    assert (place / "etc/machine-id").read_text() == ""
    assert all(
        str((place / "etc/systemd/system" / unit).readlink()) == "/dev/null" for unit in base_tree_contents.MASKED
    )
    policy = place / "usr/sbin/policy-rc.d"
    answers = {verb: os.waitstatus_to_exitcode(os.system(f"{policy} redis {verb}")) for verb in ("start", "stop")}
    assert answers == {"start": 101, "stop": 0}
    assert (place / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert base_tree.size(place) > 0


def test_a_build_that_fails_says_why_and_leaves_nothing(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPLAINT", "the archive does not answer")
    with pytest.raises(ProviderUnavailable, match="E: the archive does not answer"):
        base_tree.build(environ, print)
    assert kept(environ) == []


def test_without_mmdebstrap_it_says_what_to_install(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ProviderUnavailable, match="mmdebstrap") as refused:
        base_tree.build(environ, print)
    assert "apt-get install mmdebstrap" in refused.value.hint


def test_it_stays_while_a_server_lies_over_it(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = base_tree.build(environ, print)
    folder = tmp_path / "server"
    folder.mkdir()
    request = ServerRequest("web", "1xCPU-1GB", "here", resolved={"base": place.name})
    intent = records.Intent("local-abc", "run", "token", request, "127.77.1.2", 22, records.SYSTEM, 1.0)
    (folder / records.INTENT).write_bytes(records.encode(intent))
    monkeypatch.setattr("batchwright.providers.local.addresses.claimed", lambda: {"127.77.1.2": str(folder)})
    with pytest.raises(NotAllowed, match="1 server uses"):
        base_tree.remove(environ)
    (folder / records.INTENT).write_text("{}")  # of another version
    with pytest.raises(NotAllowed, match="1 server uses"):
        base_tree.remove(environ)
    assert place.is_dir()
    (folder / records.INTENT).unlink()
    base_tree.remove(environ)
    base_tree.remove(environ)
    assert kept(environ) == []
